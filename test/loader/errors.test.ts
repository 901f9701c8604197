/** What the author of an addon is told: the file, the line where there is one, and what was probably meant. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { addonHost } from "../helpers/addon-host.ts"

async function complaintOf(file: string): Promise<string> {
  try {
    await addonHost().manager.load([file])
  } catch (error) {
    if (error instanceof Error && error.name === "UsageError") return error.message
    throw error
  }
  return "no complaint"
}

test("a file that cannot be built is told with file, line, column and the line itself", async (t) => {
  const cases: [string, string][] = [
    ["const a = 1\nconst b = = 2\n", 'a.ts:2:11: Unexpected "="\n  const b = = 2'],
    [
      'import { defineAdon } from "llmproxy"\nexport default defineAdon({})',
      'a.ts:1:10: No matching export in "llmproxy" for import "defineAdon"\n  import { defineAdon } from "llmproxy"',
    ],
    [
      'export function load() {}\nimport "./missing.ts"',
      'a.ts:2:8: Could not resolve "./missing.ts"\n  import "./missing.ts"',
    ],
    ["const url = import.meta.url = = 3", 'a.ts:1:31: Unexpected "="\n  const url = import.meta.url = = 3'],
    ["await 1\nconst a = = 2", 'a.ts:2:11: Unexpected "="\n  const a = = 2'],
    ['import x from "./a.bin"\nexport const load = x', "a.bin: a file of this kind cannot be imported"],
    [
      'import x from "not-installed"\nexport const load = x',
      'Package "not-installed" is not installed; run npm install not-installed in ',
    ],
    ['import x from "throws"\nexport const load = x', "main.js failed: at import"],
    ['import "llmproxy/tseting"', 'a.ts:1:8: There is no "llmproxy/tseting"; did you mean "llmproxy/testing"?'],
  ]
  for (const [text, message] of cases) {
    const folder = t.testdir({
      "a.ts": text,
      "a.bin": "",
      node_modules: {
        throws: { "package.json": '{"type":"module","main":"main.js"}', "main.js": "throw new Error('at import')" },
      },
    })
    const told = await complaintOf(join(folder, "a.ts"))
    t.ok(told.includes(message), `${message}\n${told}`)
  }
})

test("a file that throws while it is read is told with what and where", async (t) => {
  const cases: [string, RegExp][] = [
    ["const words: string[] = []\nthrow new TypeError(String(words))", /a\.ts: TypeError: {2}\(.*a\.ts:2:7\)$/],
    ["throw 'a text'", /a\.ts: a text$/],
    ["await 1\nthrow new Error('late')", /a\.ts: Error: late \(.*a\.ts:2:7\)$/],
    [
      "export default { setup() {\n  throw new Error('x')\n} }",
      /a\.ts: addon "a": setup failed: Error: x \(.*a\.ts:2:9\)$/,
    ],
    // What one of llmproxy's own calls refuses, the line of the call has to answer for.
    [
      'export default { setup({ serve }) {\n  serve({ method: "GET", path: "budget", access: "open" }, () => new Response())\n  return {}\n} }',
      /a\.ts: addon "a": setup failed: serve GET budget: [^(]* \([^()]*a\.ts:2:3\)$/,
    ],
    [
      'export default { setup({ command }) {\n  command({ name: "demo", help: "x", run() {} })\n  return {}\n} }',
      /a\.ts: addon "a": setup failed: Error: command "demo": the name is llmproxy's own; [^(]* \([^()]*a\.ts:2:3\)$/,
    ],
  ]
  for (const [text, message] of cases)
    t.match(await complaintOf(join(t.testdir({ "a.ts": text }), "a.ts")), message, text)
})

test("top-level await leaves no file behind, whether the addon loads or throws", async (t) => {
  const before = process.env.TMPDIR
  t.teardown(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
  for (const end of ["", "throw new Error('late')"]) {
    const folder = t.testdir({ "a.ts": `await 1\nexport function load() {}\n${end}`, temporary: {} })
    process.env.TMPDIR = join(folder, "temporary")
    await complaintOf(join(folder, "a.ts"))
    t.same(readdirSync(join(folder, "temporary")), [], end)
  }
})

test("a file's name becomes the addon's, without the number before it", async (t) => {
  const folder = t.testdir({ "1-redact.ts": "export function load() {}", "2.ts": "export function load() {}" })
  const host = addonHost()
  await host.manager.load([join(folder, "1-redact.ts")])
  t.same(
    host.manager.chain.addons.map(({ name }) => name),
    ["redact"],
  )
  await t.rejects(addonHost().manager.load([join(folder, "2.ts")]), {
    message: /2\.ts: the addon's name "" must be lower-case words .*; give it one with name: "my-addon"/,
  })
})

test("a declaration that is wrong is told with its line and a suggestion", async (t) => {
  const wrong = (body: string) => `import { defineAddon } from "llmproxy"\nexport default defineAddon({\n  ${body}\n})`
  const cases: [string, string][] = [
    [wrong("reponse() {},"), 'a.ts:3: addon "a": no hook named "reponse"; did you mean "response"?'],
    [
      wrong("name: 'redact',\n  llmDetla() {},"),
      'a.ts:4: addon "redact": no hook named "llmDetla"; did you mean "llmDelta"?',
    ],
    [wrong("load() {}, zzz() {},"), 'a.ts:3: addon "a": no hook named "zzz"'],
    [wrong("option: {}, load() {},"), 'a.ts:3: addon "a": no property named "option"; did you mean "options"?'],
    [
      wrong("// reponse: none\n  'reponse': () => {},"),
      'a.ts:4: addon "a": no hook named "reponse"; did you mean "response"?',
    ],
    [
      wrong("name: 'My Addon', load() {},"),
      'a.ts:3: the addon\'s name "My Addon" must be lower-case words joined by hyphens',
    ],
    [wrong("name: 5, load() {},"), "a.ts:3: the addon's name 5 must be lower-case words"],
    [wrong("onError: 'stop', load() {},"), 'a.ts:3: addon "a": onError must be "continue" or "block"'],
    [wrong('reads: "all", load() {},'), 'a.ts:3: addon "a": reads must be "llm" or "bodies"'],
    [wrong("collect: true, load() {},"), 'a.ts:3: addon "a": no property named "collect"; write reads: "bodies"'],
    [wrong("hold: 'x', load() {},"), 'a.ts:3: addon "a": hold must be true or false'],
    [
      wrong("addons: './x.ts',"),
      'a.ts:3: addon "a": addons must be a list of paths, as in ["./keys.ts"], or a function that gives one',
    ],
    [
      wrong("addons: () => './x.ts',"),
      'a.ts:3: addon "a": addons must be a list of paths, as in ["./keys.ts"], or a function that gives one',
    ],
    [wrong("setup: {},"), 'a.ts:3: addon "a": setup must be a function'],
    [wrong("load: 5,"), 'a.ts:3: addon "a": hook "load" must be a function'],
    [wrong("name: 'x',"), 'a.ts: addon "x": has no hooks; write export default defineAddon({ ... })'],
    [
      wrong("load() {},\n  options: { limit: { type: 'int', help: '' } },"),
      'a.ts:4: addon "a": option "limit": type must be one of',
    ],
    [wrong("load() {},\n  options: [],"), 'a.ts:4: addon "a": options must be an object'],
    [
      wrong("setup() {\n    return { reponse() {} }\n  },"),
      'a.ts:4: addon "a": no hook named "reponse"; did you mean "response"?',
    ],
    [wrong("async setup() {},"), 'a.ts:3: addon "a": setup must not be async; wait for things in the load hook'],
    [wrong("setup: () => 5,"), 'a.ts:3: addon "a": setup must return an object of hooks, or nothing'],
    [
      wrong("load() {}, setup: () => ({ load() {} }),"),
      'a.ts:3: addon "a": hook "load" stands beside setup and is returned by it',
    ],
    [wrong("setup: () => ({ load: 1 }),"), 'a.ts:3: addon "a": hook "load" must be a function'],
    ["export function reponse() {}", 'a.ts:1: no hook named "reponse"; did you mean "response"?'],
    [
      "export const onerror = 'block'\nexport function load() {}",
      'a.ts:1: no property named "onerror"; did you mean "onError"?',
    ],
    [
      "export default { load() {} }\nexport function request() {}",
      'a.ts:2: hook "request" stands beside the default export',
    ],
    ["export const x = 5", "a.ts: exports no addon; write export default defineAddon({ ... })"],
    ["export default class A { load() {} }", "a.ts: the addon is no plain object"],
    ["module.exports = 5", "a.ts: exports no addon"],
    ["export default { addons: ['./b.ts'] }", "a.ts: addons: there is no ./b.ts beside it"],
  ]
  for (const [text, message] of cases) {
    const told = await complaintOf(join(t.testdir({ "a.ts": text }), "a.ts"))
    t.ok(told.includes(message), `${message}\n${told}`)
  }
})

test("a rejected promise of an async setup is nobody's unhandled rejection", async (t) => {
  const folder = t.testdir({ "a.ts": "export default { async setup() { throw new Error('x') } }" })
  t.match(await complaintOf(join(folder, "a.ts")), /setup must not be async/)
})

test("two addons of one name are refused", async (t) => {
  const folder = t.testdir({ "a.ts": "export function load() {}", sub: { "a.ts": "export function load() {}" } })
  const host = addonHost()
  const message = /^two addons are named "a": .*a\.ts and .*sub\/a\.ts; give one another name$/
  await t.rejects(host.manager.load([join(folder, "a.ts"), join(folder, "sub/a.ts")]), { name: "UsageError", message })
  host.manager.add({ name: "a", load() {} })
  await t.rejects(host.manager.load([join(folder, "a.ts")]), { message: /"a": the program itself and / })
})

test("an addon is looked for in the given folders, a bare name among the shipped ones", async (t) => {
  const folder = t.testdir({
    here: { "mine.ts": "export function load() {}", "notes.txt": "" },
    there: { addons: { "conductor.ts": "export function load() {}", "conductor.js": "export function done() {}" } },
  })
  const settings = { folders: [join(folder, "here"), join(folder, "there")], shipped: join(folder, "there/addons") }
  const names = async (...scripts: string[]) => {
    const { manager } = addonHost(settings)
    await manager.load(scripts)
    return manager.chain.addons.map(({ file }) => file?.slice(folder.length + 1))
  }
  t.same(await names("mine.ts", "conductor"), ["here/mine.ts", "there/addons/conductor.ts"])
  t.same(await names("addons/conductor.ts"), ["there/addons/conductor.ts"])
  t.same(await names(join(folder, "here/mine.ts")), ["here/mine.ts"])
  t.same(await names(), [])
  const cases: [string, RegExp][] = [
    ["condutcor", /^-s condutcor: no such addon; looked in .*here, .*there, .*addons; did you mean "conductor"\?$/],
    ["mien.ts", /^-s mien\.ts: no such addon; looked in .*here, .*there; did you mean "mine\.ts"\?$/],
    ["nowhere/x.ts", /^-s nowhere\/x\.ts: no such addon; looked in .*nowhere, .*nowhere$/],
    ["notes.txt", /^notes\.txt: an addon is a file that ends in \.ts, /],
  ]
  for (const [script, message] of cases) await t.rejects(names(script), { name: "UsageError", message }, script)
  const unshipped = addonHost({ folders: [folder] })
  await t.rejects(unshipped.manager.load(["conductor"]), { message: /^-s conductor: no such addon; looked in [^;]*$/ })
})
