/** A process of the demo that fails, ends or says nothing is told in one line, and none is left behind. */
import { spawn } from "node:child_process"
import { connect } from "node:net"
import { text } from "node:stream/consumers"
import { pathToFileURL } from "node:url"
import { type Test, test } from "tap"
import { DemoChild, DemoProxy, demoEnvironment, OWN_BUILD, type ProcessPlace } from "../../../lib/cli/demo/processes.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { plainEnvironment } from "../../helpers/command-process.ts"
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

test("when the demo is killed, its proxy ends too", async (t) => {
  const folder = t.testdir()
  const source = (file: string) => JSON.stringify(new URL(`../../../lib/${file}`, import.meta.url).href)
  const script = `
    const { DemoProxy } = await import(${source("cli/demo/processes.ts")})
    const { systemClock } = await import(${source("base/clock.ts")})
    const cwd = ${JSON.stringify(folder)}
    const place = { build: ${JSON.stringify(BUILD)}, env: process.env, cwd, clock: systemClock }
    console.log(await new DemoProxy(["-p", "0", "--confdir", "conf"], place).start())
    process.kill(process.pid, "SIGKILL")`
  const demo = spawn(process.execPath, [...process.execArgv, "--input-type=module", "--eval", script], {
    env: plainEnvironment(folder),
  })
  // The pipe ends when the last process that holds it has: here, when the demo has.
  const url = (await text(demo.stdout)).trim()
  const { hostname, port } = new URL(url)
  await closed(hostname, Number(port))
  t.pass()
})

/** Resolves when nobody listens there any more. */
async function closed(host: string, port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, host)
    const isOpen = await new Promise((resolve) => {
      socket.once("error", () => resolve(false))
      // It is closed from the other side when the listener ends.
      socket.once("connect", () => socket.once("close", () => resolve(true)))
    })
    if (!isOpen) return
  }
}

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
