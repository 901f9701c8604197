/** Loading: which files are addons, what they may be written in, and what their authors are told. */
import { join, resolve } from "node:path"
import { test } from "tap"
import { NO_SOURCES } from "../../lib/options/sources.ts"
import { addonHost } from "../helpers/addon-host.ts"

const fixtures = resolve("test/fixtures/addons")
const client = { address: "127.0.0.1", port: 1 }

/** Loads the addons, runs one hook of all, and gives what they logged. */
async function said(files: string[]): Promise<string[]> {
  const host = addonHost()
  await host.manager.load(files)
  await host.manager.chain.run("clientConnected", host.scope(), client)
  return host.lines
}

const speaking = (text: string) => `setup: ({ log }) => ({ clientConnected() { log.info("${text}") } })`

test("a TypeScript addon may use enums, parameter properties, JSON and files of its own", async (t) => {
  const host = addonHost({ sources: { set: ["features.limit=9"] } })
  await host.manager.load([join(fixtures, "features.ts")])
  t.same(host.lines, [
    "info features: n second 2 9 from json 2",
    `info features: file://${join(fixtures, "parts/kinds.ts")}`, // each file has an import.meta of its own
  ])
  t.same(
    host.manager.chain.addons.map(({ name, onError, reads, hold }) => ({ name, onError, reads, hold })),
    [{ name: "features", onError: "continue", reads: undefined, hold: false }],
  )
})

test("an error's stack names the line of the TypeScript source", async (t) => {
  const host = addonHost()
  await host.manager.load([join(fixtures, "features.ts")])
  const { chain } = host.manager
  Reflect.apply(chain.run, chain, ["llmRequest", host.scope(), "flow"])
  const error = host.lines.findLast((line) => line.startsWith("error "))
  t.match(error, /^error addon "features": llmRequest failed: line 24 flow \(.*features\.ts:24:15\)$/)
})

test("every kind of file that Node knows can be an addon", async (t) => {
  const folder = t.testdir({
    "a.ts": `import { defineAddon } from "llmproxy"\nexport default defineAddon({ ${speaking("ts")} })`,
    "b.mts": `import { defineAddon } from "llmproxy"\nexport default defineAddon({ ${speaking("mts")} })`,
    "c.js": `import { defineAddon } from "llmproxy"\nexport default defineAddon({ ${speaking("js")} })`,
    "d.mjs": `export default { ${speaking("mjs")} }`,
    "e.cjs": `const { defineAddon } = require("llmproxy")\nmodule.exports = defineAddon({ ${speaking("cjs")} })`,
    "f.js": `module.exports = { ${speaking("js, CommonJS")} }`,
    "g.cts": `export const setup = ({ log }) => ({ clientConnected() { log.info("cts, exports") } })`,
    package: { "package.json": '{"type":"module"}', "h.js": `export default { ${speaking("module package")} }` },
  })
  const files = ["a.ts", "b.mts", "c.js", "d.mjs", "e.cjs", "f.js", "g.cts", "package/h.js"]
  t.same(await said(files.map((file) => join(folder, file))), [
    "info a: ts",
    "info b: mts",
    "info c: js",
    "info d: mjs",
    "info e: cjs",
    "info f: js, CommonJS",
    "info g: cts, exports",
    "info h: module package",
  ])
})

test("a module that exports functions named like hooks is an addon, with exports of its own besides", async (t) => {
  const folder = t.testdir({
    "tokenBudget.ts": `
      export const onError = "block"
      export const reads = "bodies"
      export const hold = true
      export const LIMIT = 5
      export function clientConnected() { seen.push(this === undefined) }
      export const seen = []`,
  })
  const host = addonHost()
  await host.manager.load([join(folder, "tokenBudget.ts")])
  const [addon] = host.manager.chain.addons
  t.match(addon, { name: "token-budget", onError: "block", reads: "bodies", hold: true })
})

test("hooks keep the object that declared them as this", async (t) => {
  const folder = t.testdir({ "a.js": "export default { name: 'me', load() { globalThis.seenName = this.name } }" })
  await addonHost().manager.load([join(folder, "a.js")])
  t.equal(Reflect.get(globalThis, "seenName"), "me")
  Reflect.deleteProperty(globalThis, "seenName")
})

test('"llmproxy" is the running instance, also where no package of that name is installed', async (t) => {
  const folder = t.testdir({
    "a.ts": `import * as api from "llmproxy"\nglobalThis.seenApi = [api.defineAddon, (await0())]
      async function await0() { return (await import("llmproxy")).defineAddon }
      export function load() {}`,
  })
  const { defineAddon } = await import("../../lib/api/addon.ts")
  await addonHost().manager.load([join(folder, "a.ts")])
  const seen = Reflect.get(globalThis, "seenApi")
  Reflect.deleteProperty(globalThis, "seenApi")
  t.equal(seen[0], defineAddon)
  t.equal(await seen[1], defineAddon)
})

test("packages beside the addon are found from the file that imports them, CommonJS and ES modules alike", async (t) => {
  const esm = (text: string) => ({
    "package.json": '{"type":"module","exports":{"import":"./main.js"}}',
    "main.js": text,
  })
  const folder = t.testdir({
    node_modules: {
      "cjs-one": {
        "package.json": "{}",
        "index.js": "exports.__esModule = true; exports.default = 'd'; exports.x = 'cjs'",
      },
      "esm-one": esm("export default 'esm default'; export const x = 'esm'"),
      "esm-wait": esm("export const x = await Promise.resolve('waited')"),
      lazy: { "package.json": "{}", "index.js": "exports.x = 'lazy'" },
    },
    deep: {
      node_modules: { inner: { "package.json": "{}", "index.mjs": "export const x = 'inner'", "package2.json": "" } },
      "part.ts": "export { x as inner } from 'inner/index.mjs'",
    },
    "a.mts": `
      import esmDefault, { x as esm } from "esm-one"
      import { x as cjs } from "cjs-one"
      import { x as waited } from "esm-wait"
      import { inner } from "./deep/part.ts"
      import { sep } from "node:path"
      export default { setup: ({ log }) => ({ async clientConnected() {
        const { x: lazy } = await import("lazy")
        const missing = await import("not-there").catch(() => "caught")
        log.info([esmDefault, esm, cjs, waited, inner, sep, lazy, missing].join())
      } }) }`,
  })
  t.same(await said([join(folder, "a.mts")]), ["info a: esm default,esm,cjs,waited,inner,/,lazy,caught"])
})

test("top-level await works, with a warning, and leaves no file behind", async (t) => {
  const folder = t.testdir({
    node_modules: { cjs: { "package.json": "{}", "index.js": "module.exports = { x: 'cjs' }" } },
    "a.ts": `import { defineAddon } from "llmproxy"
      import cjs from "cjs"
      const word: string = await Promise.resolve("waited")
      export default defineAddon({ setup: ({ log }) => ({
        clientConnected() { log.info(word + cjs.x); throw new Error("here") },
      }) })`,
  })
  const lines = await said([join(folder, "a.ts")])
  t.match(lines[0], /^warn .*a\.ts: top-level await is slower to load/)
  t.equal(lines[1], "info a: waitedcjs")
  t.match(lines[2], /a\.ts:5:\d+\)$/, "and the stack names the source")
})

test("an addon may name others by path; each is loaded once, circles included", async (t) => {
  const nesting = (name: string, ...addons: string[]) => `
    export default { addons: ${JSON.stringify(addons)}, setup: ({ log }) => ({ load() { log.info("${name}") } }) }`
  const folder = t.testdir({
    "a.ts": nesting("a", "./sub/b.ts", "./c.ts"),
    "c.ts": nesting("c", "./a.ts"),
    sub: { "b.ts": nesting("b", "../c.ts") },
  })
  const host = addonHost()
  await host.manager.load([join(folder, "a.ts"), join(folder, "c.ts"), join(folder, "a.ts")])
  t.same(host.lines, ["info a: a", "info b: b", "info c: c"])
})

test("which others an addon names may depend on its options", async (t) => {
  const folder = t.testdir({
    "a.ts": `export default {
      options: { more: { type: "boolean", default: false, help: "More." } },
      addons: ({ more }) => more ? ["./b.ts"] : [],
      setup: ({ log }) => ({ load() { log.info("a") } }) }`,
    "b.js": `module.exports = { setup: ({ log }) => ({ load() { log.info("b, which was compiled") } }) }`,
  })
  const plain = addonHost()
  await plain.manager.load([join(folder, "a.ts")])
  t.same(plain.lines, ["info a: a"])
  const told = addonHost({ sources: { set: ["a.more=true"] } })
  await told.manager.load([join(folder, "a.ts")])
  t.same(told.lines, ["info a: a", "info b: b, which was compiled"])
})

test("load, configure with all options, and running come once each", async (t) => {
  const folder = t.testdir({
    "a.ts": `export default {
      options: { x: { type: "integer", default: 1, help: "X." }, y: { type: "integer", default: 1, help: "Y." } },
      setup: ({ log, options }) => ({
        load() { log.info("load " + options.x) },
        configure(changed) { log.info("configure " + [...changed] + " " + options.x) },
        running() { log.info("running") },
        done() { log.info("done"); throw new Error("too late to matter") },
      }) }`,
  })
  const host = addonHost()
  await host.manager.load([join(folder, "a.ts")])
  await host.manager.running()
  host.options.update({ ...NO_SOURCES, set: ["a.x=5"] })
  await host.manager.close()
  await host.manager.close()
  host.options.update({ ...NO_SOURCES, set: ["a.x=6"] })
  t.same(host.lines.slice(0, 5), [
    "info a: load 1",
    "info a: configure a.x,a.y 1",
    "info a: running",
    "info a: configure a.x 5",
    "info a: done",
  ])
  t.match(host.lines[5], /^error addon "a": done failed: too late to matter/)
  t.equal(host.lines.filter((line) => !/^debug +at |^debug Error/.test(line)).length, 6)
})

test("an addon of the program's own runs before those from files", async (t) => {
  const folder = t.testdir({ "a.ts": `export default { ${speaking("file")} }` })
  const host = addonHost()
  host.manager.add({ name: "terminal", setup: ({ log }) => ({ clientConnected: () => log.info("own") }) })
  await host.manager.load([join(folder, "a.ts")])
  await host.manager.chain.run("clientConnected", host.scope(), client)
  t.same(host.lines, ["info terminal: own", "info a: file"])
  t.throws(() => host.manager.add({ load() {} }), { message: /^the addon's name "" must be lower-case words/ })
  const throwing = {
    name: "x",
    setup: () => {
      throw new Error("no")
    },
  }
  t.throws(() => host.manager.add(throwing), { message: /^addon "x": setup failed: Error: no/ })
})

test("a failing first hook ends the start, whatever onError says", async (t) => {
  const folder = t.testdir({ "a.ts": "export function load() {\n  throw new Error('no database')\n}" })
  const host = addonHost()
  const message = /^.*a\.ts: addon "a": load failed: no database \(.*a\.ts:2:9\)$/
  await t.rejects(host.manager.load([join(folder, "a.ts")]), { name: "UsageError", message })
  t.same(host.manager.chain.addons, [])
})

test("an option that nobody declares is refused when all addons are there", async (t) => {
  const folder = t.testdir({
    "a.ts": "export const options = { limit: { type: 'integer', help: 'L.' } }\nexport function load() {}",
  })
  const host = addonHost({ sources: { set: ["a.limti=1"] } })
  const message = '--set a.limti: addon "a" has no such option; did you mean "a.limit"?'
  await t.rejects(host.manager.load([join(folder, "a.ts")]), { name: "UsageError", message })
})
