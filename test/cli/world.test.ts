/** The real process, as commands see it. */
import { test } from "tap"
import { processWorld } from "../../lib/cli/world.ts"

test("signals are heard until nobody wants to", async (t) => {
  const world = processWorld()
  t.equal(world.nodeVersion, process.versions.node)
  const heard: string[] = []
  const before = process.listenerCount("SIGHUP")
  const stop = world.onSignal((signal) => heard.push(signal))
  process.emit("SIGHUP", "SIGHUP")
  stop()
  t.same(heard, ["SIGHUP"])
  t.equal(process.listenerCount("SIGHUP"), before)
})

test("exit ends the process", async (t) => {
  const { exit } = process
  const statuses: unknown[] = []
  Object.assign(process, { exit: (status: unknown) => statuses.push(status) })
  t.teardown(() => Object.assign(process, { exit }))
  processWorld().exit(3)
  t.same(statuses, [3])
})
