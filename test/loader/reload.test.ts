/** Reloading: what changes when a file does, and what stays when it fails. */
import { once } from "node:events"
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { test } from "tap"
import { systemClock } from "../../lib/base/clock.ts"
import type { AddonManager } from "../../lib/loader/manager.ts"
import { type AddonHost, addonHost } from "../helpers/addon-host.ts"

const client = { address: "127.0.0.1", port: 1 }

/** An addon that says its word, and all that happens to it. */
const telling = (word: string) => `
  import { extra } from "./part.ts"
  export default { name: "teller", options: { limit: { type: "integer", default: 1, help: "L." } },
    setup({ log, state, signal }) {
      state.set("loads", (state.get("loads") ?? 0) + 1)
      signal.addEventListener("abort", () => log.info("${word} ends"))
      return {
        load() { log.info("${word} load " + state.get("loads")) },
        running() { log.info("${word} running") },
        done() { log.info("${word} done") },
        clientConnected() { log.info("${word}" + extra) },
      }
    } }`

const connect = (host: AddonHost) => host.manager.chain.run("clientConnected", host.scope(), client)
const outcomes = async (manager: AddonManager) =>
  (await manager.reload()).map(({ name, outcome }) => `${name} ${outcome}`)

test("a changed entry or a changed import replaces the addon, a touched one does not", async (t) => {
  const folder = t.testdir({ "a.ts": telling("one"), "part.ts": "export const extra = '!'" })
  const host = addonHost()
  await host.manager.load([join(folder, "a.ts")])
  await host.manager.running()
  const first = host.manager.chain
  writeFileSync(join(folder, "part.ts"), "export const extra = '!'")
  t.same(await outcomes(host.manager), [], "the same content")
  t.equal(host.manager.chain, first)

  writeFileSync(join(folder, "a.ts"), telling("two"))
  t.same(await outcomes(host.manager), ["teller reloaded"])
  t.not(host.manager.chain, first)
  await connect(host)
  writeFileSync(join(folder, "part.ts"), "export const extra = '?'")
  t.same(await outcomes(host.manager), ["teller reloaded"])
  await connect(host)
  await host.manager.close()
  t.same(
    host.lines.filter((line) => !line.includes("reloaded")),
    [
      "info teller: one load 1",
      "info teller: one running",
      "info teller: two load 2",
      "info teller: two running",
      "info teller: one ends",
      "info teller: one done",
      "info teller: two!",
      "info teller: two load 3",
      "info teller: two running",
      "info teller: two ends",
      "info teller: two done",
      "info teller: two?",
      "info teller: two ends",
      "info teller: two done",
    ],
  )
  t.match(host.lines.join("\n"), /info addon "teller": reloaded from .*a\.ts in \d+ ms/)
})

test("a version that fails at any step leaves the old one running, and the failure is said once", async (t) => {
  const steps: [string, RegExp][] = [
    ["export default {", /a\.ts:1:17: Expected identifier but found end of file/],
    ["throw new Error('evaluate')", /a\.ts: Error: evaluate/],
    [
      "export default { name: 'teller', lod() {} }",
      /a\.ts:1: addon "teller": no hook named "lod"; did you mean "load"\?/,
    ],
    ["export default { name: 'teller', setup() { throw new Error('in setup') } }", /setup failed: Error: in setup/],
    ["export default { name: 'teller', load() { throw new Error('in load') } }", /load failed: in load/],
    [
      "export default { name: 'teller', configure() { throw new Error('in configure') } }",
      /configure failed: in configure/,
    ],
    [
      "export default { name: 'teller', async running() { throw new Error('in running') } }",
      /running failed: in running/,
    ],
    [
      "export default { name: 'teller', options: { x: { type: 'x', help: '' } }, load() {} }",
      /option "x": type must be/,
    ],
    ["import './new.ts'\nexport default { name: 'teller', load() {} }", /Could not resolve "\.\/new\.ts"/],
    ["export default { name: 'teller', addons: ['./new.ts'] }", /there is no \.\/new\.ts beside it/],
    ["export default { name: 'other', load() {} }", /two addons are named "other"/],
  ]
  const good = telling("good")
  const folder = t.testdir({
    "a.ts": good,
    "part.ts": "export const extra = ''",
    "other.ts": "export default { options: { x: { type: 'json', help: 'X.' } }, load() {} }",
  })
  const host = addonHost()
  await host.manager.load([join(folder, "a.ts"), join(folder, "other.ts")])
  await host.manager.running()
  const { chain } = host.manager
  for (const [text, message] of steps) {
    writeFileSync(join(folder, "a.ts"), text)
    const results = await host.manager.reload()
    t.match(results, [{ name: "teller", outcome: "failed", message }], text)
    const told = host.lines.findLast((line) => !line.startsWith("error   ")) // behind it the line that stands there
    t.match(told, /^error addon "teller" was not reloaded and runs on as it was: ./)
    t.equal(host.manager.chain, chain, text)
    t.same(await outcomes(host.manager), [], "the second try fails alike: said once")
  }
  t.notOk(host.lines.includes("info teller: good ends"))
  writeFileSync(join(folder, "a.ts"), good)
  t.same(await outcomes(host.manager), [], "back to what runs: nothing to do")
  writeFileSync(join(folder, "a.ts"), telling("better"))
  t.same(await outcomes(host.manager), ["teller reloaded"])
  t.same(
    host.options.describe().map(({ name }) => name),
    ["teller.limit", "other.x"],
  )
})

test("a version that failed after its load hook is ended again", async (t) => {
  const folder = t.testdir({ "a.ts": "export function load() {}", sub: { "b.ts": "export function load() {}" } })
  const host = addonHost()
  await host.manager.load([join(folder, "a.ts")])
  const nested = (text: string) => `export default { name: "b", ${text} }`
  writeFileSync(join(folder, "sub/b.ts"), nested("load() { throw new Error('nested') }"))
  const parent = `export default { addons: ["./sub/b.ts"], setup: ({ log, signal }) => {
    signal.addEventListener("abort", () => log.info("ended"))
    return { load() { log.info("load") }, done() { log.info("done") } }
  } }`
  writeFileSync(join(folder, "a.ts"), parent)
  t.same(await outcomes(host.manager), ["a failed"])
  t.same(host.lines.slice(0, 3), ["info a: load", "info a: ended", "info a: done"])

  writeFileSync(join(folder, "sub/b.ts"), nested("load() {}"))
  t.same(await outcomes(host.manager), ["a reloaded"], "and tried again when the nested one is repaired")
  t.same(
    host.manager.chain.addons.map(({ name }) => name),
    ["a", "b"],
  )
  writeFileSync(join(folder, "a.ts"), "export function load() {}")
  writeFileSync(join(folder, "sub/b.ts"), nested("done() {}"))
  t.same(await outcomes(host.manager), ["a reloaded"], "an addon that nobody names any more goes")
  t.same(
    host.manager.chain.addons.map(({ name }) => name),
    ["a"],
  )
})

test("done of an old version waits for the flows that began with it", async (t) => {
  const folder = t.testdir({
    "a.ts": telling("one"),
    "b.ts": "export function load() {}",
    "part.ts": "export const extra = ''",
  })
  const host = addonHost()
  await host.manager.load([join(folder, "a.ts"), join(folder, "b.ts")])
  const began = host.manager.chain
  began.acquire()
  writeFileSync(join(folder, "b.ts"), "export function load() {}\nexport function running() {}")
  await host.manager.reload()
  const between = host.manager.chain // holds the same version of a
  between.acquire()
  writeFileSync(join(folder, "a.ts"), telling("two"))
  await host.manager.reload()
  t.ok(host.lines.includes("info teller: one ends"), "its signal says at once that it is replaced")
  await began.run("clientConnected", host.scope(), client)
  t.equal(host.lines.at(-1), "info teller: one", "a flow keeps the version that it began with")
  began.release()
  t.notOk(host.lines.includes("info teller: one done"), "the other chain still knows it")
  between.release()
  t.ok(host.lines.includes("info teller: one done"))
  await host.manager.close()
})

test("closing ends replaced versions too, and waits for their done", async (t) => {
  const slow = (word: string) => `export default { name: "slow", setup: ({ log }) => ({
    async done() { await null; log.info("${word} done") } }) }`
  const folder = t.testdir({ "a.ts": slow("one") })
  const host = addonHost()
  await host.manager.load([join(folder, "a.ts")])
  host.manager.chain.acquire()
  writeFileSync(join(folder, "a.ts"), slow("two"))
  await host.manager.reload()
  await host.manager.close()
  t.same(
    host.lines.filter((line) => line.endsWith("done")),
    ["info slow: one done", "info slow: two done"],
  )
  writeFileSync(join(folder, "a.ts"), slow("three"))
  t.same(await host.manager.reload(), [])
})

test("an option that the new version declares is read, and one that it dropped is gone", async (t) => {
  const withOption = (name: string) =>
    `export default { options: { ${name}: { type: "integer", default: 0, help: "X." } }, setup: ({ options, log }) => ({
      load() { log.info("is " + options.${name}) } }) }`
  const folder = t.testdir({ "a.ts": withOption("first") })
  const host = addonHost({ sources: { env: { LLMPROXY_A_SECOND: "7" } } })
  await host.manager.load([join(folder, "a.ts")])
  writeFileSync(join(folder, "a.ts"), withOption("second"))
  await host.manager.reload()
  t.same(
    host.lines.filter((line) => line.includes(" is ")),
    ["info a: is 0", "info a: is 7"],
  )
  t.same(
    host.options.describe().map(({ name }) => name),
    ["a.second"],
  )
})

/** Holds the process while only the system's watcher, which holds nothing, is waited for. */
async function whileHeld(work: () => Promise<void>): Promise<void> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  try {
    await work()
  } finally {
    server.close()
  }
}

test("thirty reloads keep at most the last two versions' data in memory", async (t) => {
  setFlagsFromString("--expose-gc")
  const collect: () => void = runInNewContext("gc")
  const text = (word: string) => `
    export default { name: "big", setup({ state }) {
      const data = new Array(10_000).fill("${word}")
      state.set("refs", [...(state.get("refs") ?? []), new WeakRef(data)])
      globalThis.bigRefs = state.get("refs")
      return { clientConnected: () => data.length }
    } }`
  const folder = t.testdir({ "a.ts": text("0") })
  const host = addonHost()
  await host.manager.load([join(folder, "a.ts")])
  for (let i = 1; i <= 30; i++) {
    writeFileSync(join(folder, "a.ts"), text(`${i}`))
    await host.manager.reload()
    host.manager.chain.acquire() // a flow that comes and goes
    host.manager.chain.release()
  }
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setImmediate(resolve)) // a WeakRef keeps its target to the end of the turn
    collect()
  }
  const refs: WeakRef<object>[] = Reflect.get(globalThis, "bigRefs")
  Reflect.deleteProperty(globalThis, "bigRefs")
  t.equal(refs.length, 31)
  t.ok(refs.filter((ref) => ref.deref() !== undefined).length <= 2)
})

test("a file that is saved, in place or by renaming, is noticed", async (t) => {
  const folder = t.testdir({ "a.ts": telling("one"), parts: {}, "part.ts": "export const extra = 1" })
  const host = addonHost({ watch: true, runOn: systemClock })
  await host.manager.load([join(folder, "a.ts")])
  const reloaded = () =>
    new Promise<string>((resolve) => {
      const stop = host.manager.onReload(([result]) => {
        stop()
        resolve(`${result?.outcome} ${result?.message ?? ""}`)
      })
    })
  await whileHeld(async () => {
    let next = reloaded()
    writeFileSync(join(folder, "a.ts"), telling("two"))
    t.equal(await next, "reloaded ")

    next = reloaded()
    writeFileSync(join(folder, "part.ts~"), "export const extra = 2")
    renameSync(join(folder, "part.ts~"), join(folder, "part.ts"))
    t.equal(await next, "reloaded ", "an import, replaced by renaming")

    next = reloaded()
    writeFileSync(join(folder, "a.ts"), telling("three").replace("./part.ts", "./parts/new.ts"))
    t.match(await next, /^failed .*Could not resolve ".\/parts\/new.ts"/)

    next = reloaded()
    mkdirSync(join(folder, "lib"))
    writeFileSync(join(folder, "lib/new.ts"), "export const extra = 3")
    writeFileSync(join(folder, "a.ts"), telling("three").replace("./part.ts", "./lib/new.ts"))
    t.equal(await next, "reloaded ")

    next = reloaded()
    writeFileSync(join(folder, "lib/new.ts"), "export const extra = 4")
    t.equal(await next, "reloaded ", "a file that the new version brought in is watched")
  })
  await connect(host)
  t.equal(host.lines.at(-1), "info teller: three4")
  rmSync(join(folder, "part.ts"))
  await host.manager.close()
})

test("a slip is told with its place, and the line that stands there in a line of its own", async (t) => {
  const folder = t.testdir({ "a.ts": "export default { load() {} }\n" })
  const host = addonHost()
  await host.manager.load([join(folder, "a.ts")])
  writeFileSync(join(folder, "a.ts"), "export default {{\n")
  await host.manager.reload()
  const [place = "", line] = host.lines.slice(-2)
  t.match(place, /^error addon "a" was not reloaded and runs on as it was: .*a\.ts:1:17: Expected .* but found "\{"$/)
  t.equal(line, "error   export default {{")
  await host.manager.close()
})
