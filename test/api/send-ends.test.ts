/** What ends what an addon sends by itself, and what bounds it, through the running program. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import type { AddonDefinition } from "../../lib/api/addon.ts"
import { OWN_FLOWS_MAX } from "../../lib/proxy/child/addon-sends.ts"
import { answer, origin, request, until } from "../helpers/hosts/proxy-host.ts"
import { jobs, refusalOf, turns, watching, world } from "./send-rig.ts"
import { folderWith, startedWith } from "./started.ts"

/** A version of an addon whose timer sends each second, and whose hook sends for its flow; it has no hook for its own. */
const TICKER = `
import { defineAddon } from "llmproxy"
export default defineAddon({
  name: "ticker",
  setup({ send, clock, log, signal }) {
    const told = (sent, what) => sent.then(
      (answer) => answer.text().then((text) => log.info("VERSION " + what + " " + text)),
      (error) => log.info("VERSION " + what + " " + error.code + " " + error.message))
    const tick = () => {
      void told(send({ method: "GET" }, { url: "URL/VERSION" }), "tick")
      clock.after(1_000, tick)
    }
    return {
      running: async () => {
        await told(send({ method: "GET" }, { url: "URL/running/VERSION" }), "running")
        clock.after(1_000, tick)
      },
      requestHeaders: (flow) => log.info("VERSION sees " + flow.request.path),
      async request(flow) {
        await flow.pause()
        await told(send({ method: "GET" }, { url: "URL/child/VERSION", parent: flow }), "child")
      },
      done: () => log.info("VERSION done"),
    }
  },
})`

test("a version that was replaced sends for the flows that it has, and by itself no more", async (t) => {
  const flows: { resume(): void }[] = []
  const other: AddonDefinition = { name: "other", requestHeaders: (flow) => void flows.push(flow) }
  const host = await origin(t, ({ target }, socket) => void socket.write(answer(target)))
  const url = `http://127.0.0.1:${host.port}`
  const version = (name: string) => TICKER.replaceAll("VERSION", name).replaceAll("URL", url)
  const folder = await folderWith(t, { "ticker.ts": version("one") })
  const { app, port, clock, lines } = await startedWith(t, folder, { builtin: [other] }, "ticker.ts")
  const said = (line: string) => until(() => lines.includes(`info ticker: ${line}`))
  await said("one running /running/one")
  clock.advance(1_000)
  await said("one tick /one")
  const { Wire } = await import("../helpers/wire/wire.ts")
  const wire = await Wire.connect(port)
  t.teardown(() => wire.socket.destroy())
  wire.write(request("GET", host.port, "/client"))
  await said("one sees /client")
  await turns()
  lines.length = 0
  await writeFile(join(folder, "ticker.ts"), version("two"))
  t.match(await app.addons.reload(), [{ outcome: "reloaded" }])
  t.match(
    lines,
    ["info ticker: two running /running/two", /reloaded from/],
    "no version sees what another one has sent",
  )
  clock.advance(1_000)
  await said("two tick /two")
  t.match(
    lines.filter((line) => line.includes("one tick")),
    [/one tick send-too-late addon "ticker": send: this version of the addon has ended; what one of its flows/],
  )
  for (const flow of flows) flow.resume()
  await said("one child /child/one")
  t.equal((await wire.response()).text, "/client")
  await said("one done")
  t.notOk(lines.some((line) => line.includes("sees /")))
})

test("a stop waits for it as for any flow, then ends it; nothing is sent from then on", async (t) => {
  const other = watching("other")
  const made = jobs()
  const { app, host, url } = await world(t, { builtin: [made.addon, other.addon] })
  const sent = refusalOf(made.send(url("/silent")))
  await host.received(1)
  const stopped = app.stop(5_000)
  t.equal(await refusalOf(made.send(url("/late"))), "stopped")
  await turns()
  t.notOk(
    other.seen.some((line) => line.startsWith("error")),
    "it has its time",
  )
  made.clock.advance(5_000)
  t.equal(await sent, "stopped")
  await stopped
  await until(() => other.seen.includes("error /silent stopped"))
  t.match(await refusalOf(made.send(url("/late"))), /^(stopped|send-too-late)$/)
  t.equal(host.requests.length, 1)
})

test("a stop does not wait longer than it takes", async (t) => {
  const made = jobs()
  const { app, host, url } = await world(t, { builtin: [made.addon] })
  const sent = made.send(url("/silent"), { until: "head" })
  await host.received(1)
  const stopping = app.stop(60_000)
  const ends = (await Promise.race([sent, turns()])) === undefined
  t.ok(ends, "it runs still")
  host.requests.length = 0
  await host.close() // The host leaves: the flow has ended, and with it the stop.
  t.equal((await sent).status, 502)
  await stopping
})

test("so many run at a time, an answer that nobody reads is one of them, and an abort makes room", async (t) => {
  const made = jobs()
  const others = jobs()
  const another: AddonDefinition = { ...others.addon, name: "another" }
  const { host, url } = await world(t, { builtin: [made.addon, another] })
  const stop = new AbortController()
  const running = Array.from({ length: OWN_FLOWS_MAX }, () =>
    refusalOf(made.send(url("/silent"), { signal: stop.signal })),
  )
  await host.received(1)
  t.equal(await refusalOf(made.send(url("/a"))), "too-many-flows")
  await t.rejects(made.send(url("/a")), {
    message: /^addon "jobs": send http.*: 256 flows that it has sent run, the limit/,
  })
  const elsewhere = await origin(t, (_, socket) => void socket.write(answer("ok"))) // The first has no connection left.
  t.equal((await others.send(`http://127.0.0.1:${elsewhere.port}/`)).status, 200, "another addon has its own")
  stop.abort()
  t.strictSame(new Set(await Promise.all(running)), new Set(["aborted"]))
  await turns()
  t.equal((await made.send(url("/a"))).status, 200)
})

test("its signal ends it, before the answer and while that is read; one that is aborted sends nothing", async (t) => {
  const other = watching("other")
  const made = jobs()
  const { host, url } = await world(t, { builtin: [made.addon, other.addon] })
  const endless = await origin(t, (_, socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun"))
  const stop = new AbortController()
  const reading = await made.send(`http://127.0.0.1:${endless.port}/read`, { until: "head", signal: stop.signal })
  const text = refusalOf(reading.text())
  const waiting = refusalOf(made.send(url("/silent"), { signal: stop.signal }))
  await host.received(1)
  stop.abort()
  t.strictSame(await Promise.all([waiting, text]), ["aborted", "aborted"])
  t.equal(await refusalOf(made.send(url("/never"), { signal: stop.signal })), "aborted")
  await until(() => other.flows.length === 2)
  t.notOk(other.seen.includes("request /never"))
  const done = new AbortController()
  const whole = await made.send(url("/whole"), { until: "end", signal: done.signal })
  done.abort()
  t.equal(await whole.text(), "said /whole", "what is there stays")
})

test("what is to stay local does from its first step on", async (t) => {
  const made = jobs()
  const keepLocal = { reason: "it is private" }
  const { url } = await world(t, { builtin: [made.addon] })
  t.equal((await made.send(url("/a"), { keepLocal })).status, 200, "this machine is local")
  const away = await made.send("http://elsewhere.test/", { keepLocal })
  t.equal(away.status, 403)
  t.match(await away.text(), /is to stay local \(it is private\), and elsewhere\.test:80 is no local host/)
  const named = { ...keepLocal, urls: ["http://elsewhere.test"] }
  const dialled = await made.send("http://elsewhere.test/", { keepLocal: named, connectTo: new URL(url("/")).host })
  t.equal(await dialled.text(), "said /", "a host that was named is local")
  t.match(
    await refusalOf(made.send(url("/a"), { keepLocal: { reason: "x", urls: ["none"] } })),
    /is no http or https URL/,
  )
})

test("it goes through the proxy that the mode names, past it to this machine, and never to our own address", async (t) => {
  const via = await origin(t, ({ target }, socket) => void socket.write(answer(`via ${target}`)))
  const made = jobs()
  const flags = { mode: [`upstream:http://127.0.0.1:${via.port}`] }
  const { port, url } = await world(t, { builtin: [made.addon], flags })
  t.equal(await (await made.send("http://elsewhere.test/a")).text(), "via http://elsewhere.test/a")
  t.equal(await (await made.send(url("/a"))).text(), "said /a")
  t.equal((await made.send(`http://127.0.0.1:${port}/a`)).status, 508)
})
