/** A process of the demo that fails, ends or says nothing is told in one line, and none is left behind. */
import { pathToFileURL } from "node:url"
import { type Test, test } from "tap"
import { DemoChild, DemoProxy, demoEnvironment, OWN_BUILD, type ProcessPlace } from "../../../lib/cli/demo/processes.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { builtCommand } from "../../helpers/dist.ts"

const BUILD = new URL("../lib/cli/demo/processes.js", pathToFileURL(builtCommand())).href

function placeOf(t: Test): ProcessPlace & { clock: ManualClock } {
  return { build: BUILD, env: demoEnvironment(process.env), cwd: t.testdir(), clock: new ManualClock() }
}

test("a host listens, and ends when it is asked to", async (t) => {
  const host = new DemoChild("local-host", [], placeOf(t))
  const { port } = await host.next("ready")
  t.equal((await fetch(`http://127.0.0.1:${port}/v1/models`)).status, 200)
  await host.stop()
  await host.stop()
  await t.rejects(fetch(`http://127.0.0.1:${port}/v1/models`))
})

test("programs of the source run as well", async (t) => {
  const host = new DemoChild("local-host", [], { ...placeOf(t), build: OWN_BUILD })
  t.ok((await host.next("ready")).port > 0)
  await host.stop()
})

test("what a process cannot do is told", async (t) => {
  const place = placeOf(t)
  const host = new DemoChild("local-host", [], place)
  const { port } = await host.next("ready")
  await host.stop()
  const caFile = `${t.testdir({ "ca.pem": "" })}/ca.pem`
  const client = new DemoChild("client", [`http://127.0.0.1:${port}`, caFile], place)
  const answered = client.next("outcome")
  client.send({ kind: "job", door: "base URL", stream: false, text: "Hi" })
  await t.rejects(answered, { name: "StartError", message: /^demo: client: / })
  await client.stop()
})

test("a process that ends is told with what it said", async (t) => {
  const client = new DemoChild("client", ["http://127.0.0.1:1", "/gone.pem"], placeOf(t))
  await t.rejects(client.next("outcome"), {
    name: "StartError",
    message: /^demo: client ended with status 1: .*ENOENT/s,
  })
  const proxy = new DemoProxy(["--prot", "1"], placeOf(t))
  const message = 'demo: the proxy ended with status 2: --prot: no such flag; did you mean "--port"?'
  await t.rejects(proxy.start(), { name: "StartError", message })
  await proxy.stop()
})

test("patience has an end", async (t) => {
  const place = placeOf(t)
  const host = new DemoChild("local-host", [], place)
  await host.next("ready")
  const waiting = host.next("outcome")
  place.clock.advance(30_000)
  await t.rejects(waiting, { name: "StartError", message: "demo: local-host took more than 30 s" })
  const stopping = host.stop()
  place.clock.advance(5_000)
  await stopping // Killed, if it had not ended by itself.
  t.equal(place.clock.pending, 0)
})
