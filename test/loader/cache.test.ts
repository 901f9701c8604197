/** The kept builds: when one serves in a build's place, what makes it useless, and that nobody has to know of it. */
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { basename, join } from "node:path"
import { type Test, test } from "tap"
import { makeLogger } from "../../lib/base/log.ts"
import { fingerprint } from "../../lib/loader/built-from.ts"
import { type Bundle, type BundleRequest, bundle, type ProvidedModules } from "../../lib/loader/bundle.ts"
import { BundleCache } from "../../lib/loader/cache.ts"
import { addonHost } from "../helpers/addon-host.ts"

const client = { address: "127.0.0.1", port: 1 }

const ADDON = `import { defineAddon } from "llmproxy"
import { word } from "./part.ts"
import { sep } from "node:path"
export default defineAddon({
  setup: ({ log }) => ({ clientConnected() { log.info(word + sep); throw new Error("here") } }),
})`
const PART = "export const word: string = 'one'"

/** A folder with an addon of two files, and how often it has been built through a cache in that folder. */
class Rig {
  readonly folder: string
  readonly entry: string
  readonly cacheDir: string
  readonly lines: string[] = []
  builds = 0

  constructor(t: Test, addon: string = ADDON, beside: Record<string, Parameters<Test["testdir"]>[0]> = {}) {
    this.folder = t.testdir({ "a.ts": addon, "part.ts": PART, ...beside })
    this.entry = join(this.folder, "a.ts")
    this.cacheDir = join(this.folder, "conf", "cache")
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text)
  }

  /** What a new process would get. */
  async run(modules: ProvidedModules = { llmproxy: () => import("../../lib/api/addon.ts") }): Promise<Bundle> {
    const log = makeLogger((line, level) => this.lines.push(`${level} ${line}`), "debug")
    const cache = new BundleCache(this.cacheDir, log)
    const files = new Map<string, string>()
    this.files = files
    const made = await cache.bundle(
      { entry: this.entry, format: "cjs", scriptPath: this.entry, modules, files },
      (one) => this.#build(one),
    )
    await cache.written()
    return made
  }

  /** The files of the last run. */
  files: ReadonlyMap<string, string> = new Map()

  #build(request: BundleRequest): Promise<Bundle> {
    this.builds++
    return bundle(request)
  }

  entries(): string[] {
    return readdirSync(this.cacheDir).map((name) => join(this.cacheDir, name))
  }

  /** The one entry, as JSON that a test may spoil. */
  get kept(): Record<string, unknown> {
    return JSON.parse(readFileSync(this.entries()[0] ?? "", "utf8"))
  }

  keep(value: unknown): void {
    writeFileSync(this.entries()[0] ?? "", typeof value === "string" ? value : JSON.stringify(value))
  }
}

/** The addons of the folder on a manager with a cache, one client connected, and all stopped. */
async function said({ entry, cacheDir }: Rig): Promise<string[]> {
  const host = addonHost({ cacheDir })
  await host.manager.load([entry])
  await host.manager.chain.run("clientConnected", host.scope(), client)
  await host.manager.close()
  return host.lines.filter((line) => !line.startsWith("debug"))
}

test("a second start takes what the first one built, with the same code, modules and files to watch", async (t) => {
  const rig = new Rig(t)
  const built = await rig.run()
  const files = rig.files
  const kept = await rig.run()
  t.equal(rig.builds, 1)
  t.same(kept, built)
  t.equal(kept.provided.get("llmproxy"), await import("../../lib/api/addon.ts"))
  t.same([...rig.files], [...files])
  t.same(
    [...files.keys()].map((file) => basename(file)),
    ["a.ts", "part.ts"],
  )
})

test("the folder is 0700 and an entry 0600, whatever the umask", async (t) => {
  const rig = new Rig(t)
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  await rig.run()
  t.equal(statSync(rig.cacheDir).mode & 0o777, 0o700)
  t.same(
    rig.entries().map((file) => statSync(file).mode & 0o777),
    [0o600],
  )
})

test("a changed file, of the entry's or of an import's, is built again and then kept", async (t) => {
  const rig = new Rig(t)
  await rig.run()
  for (const [index, name] of ["a.ts", "part.ts"].entries()) {
    rig.write(name, `${readFileSync(join(rig.folder, name), "utf8")} // changed`)
    await rig.run()
    t.equal(rig.builds, index + 2, name)
    t.equal(rig.files.get(join(rig.folder, name)), fingerprint(readFileSync(join(rig.folder, name))))
    await rig.run()
    t.equal(rig.builds, index + 2, `${name} again`)
  }
  t.equal(rig.entries().length, 1)
})

test("a file that is gone is no hit, and its failing build leaves only files that were read", async (t) => {
  const rig = new Rig(t)
  await rig.run()
  rig.write("a.ts", "import './gone.ts'")
  await t.rejects(rig.run(), { name: "UsageError", message: /Could not resolve "\.\/gone\.ts"/ })
  t.same([...rig.files.keys()], [rig.entry])
})

test("other exports of llmproxy mean a build, the same ones in another instance do not", async (t) => {
  const rig = new Rig(t)
  const defineAddon = (addon: object) => addon
  await rig.run({ llmproxy: async () => ({ defineAddon }) })
  const other = { defineAddon }
  const kept = await rig.run({ llmproxy: () => other })
  t.equal(rig.builds, 1)
  t.equal(kept.provided.get("llmproxy"), other)
  await rig.run({ llmproxy: () => ({ defineAddon, more: 1 }) })
  t.equal(rig.builds, 2)
  await t.rejects(rig.run({ llmproxy: () => ({ other: 1 }) }), { message: /No matching export/ })
})

test("the nearest package.json is part of what an entry is for", async (t) => {
  const rig = new Rig(t, ADDON, { "package.json": "{}" })
  await rig.run()
  rig.write("package.json", '{"type":"module"}')
  await rig.run()
  t.equal(rig.builds, 2)
  await rig.run()
  t.equal(rig.builds, 2)
})

test("a damaged entry, or one of another shape, is built again and rewritten", async (t) => {
  const rig = new Rig(t)
  await rig.run()
  const good = rig.kept
  const bad: unknown[] = [
    "",
    JSON.stringify(good).slice(0, -20),
    "null",
    [good],
    {},
    { ...good, code: `${good.code} ` },
    { ...good, code: 1 },
    { ...good, codeHash: 1 },
    { ...good, files: {} },
    { ...good, files: [["a"]] },
    { ...good, files: [["a", 1]] },
    { ...good, files: [[1, "a"]] },
    { ...good, provided: [["llmproxy", "defineAddon"]] },
    { ...good, provided: [["llmproxy", [1]]] },
    { ...good, provided: [["toString", []]] },
    { ...good, packages: undefined },
    { ...good, packages: [{ name: "a" }] },
  ]
  for (const [index, value] of bad.entries()) {
    rig.keep(value)
    await rig.run()
    t.equal(rig.builds, index + 2, JSON.stringify(value))
    t.same(rig.kept, good)
  }
})

const PACKAGES = {
  "cjs-one": { "package.json": "{}", "index.js": "exports.x = 1", deep: { "part.js": "exports.x = 1" } },
  "esm-one": { "package.json": '{"type":"module","exports":"./main.js"}', "main.js": "export const x = 1" },
  "ts-one": { "package.json": '{"exports":"./main.ts"}', "main.ts": "export const x = 1" },
  "@some": { one: { "package.json": "{}", "index.js": "exports.x = 1" } },
}

const PACKAGE_IMPORTS = [
  ["cjs-one", 'import { x } from "cjs-one"'],
  ["cjs-one", 'import { x } from "cjs-one/deep/part.js"'],
  ["esm-one", 'import { x } from "esm-one"'],
  ["cjs-one", 'const x = require("cjs-one").x'],
  ["@some/one", 'import { x } from "@some/one"'],
] as const

test("a build with packages is kept, and works as one that was built", async (t) => {
  for (const [name, line] of PACKAGE_IMPORTS) {
    const addon = `${line}\nexport default { setup({ log }) { log.info("x is " + x); return {} } }`
    const rig = new Rig(t, addon, { node_modules: PACKAGES })
    t.match((await rig.run()).packages, [{ name }], line)
    t.match((await rig.run()).packages, [{ name }], line)
    t.equal(rig.builds, 1, line)
    t.match(await said(rig), ["info a: x is 1"], line)
  }
})

test("what a build took from packages serves while each is where it was, with the same package.json and names", async (t) => {
  const manifest = (folder: string) => join(folder, "node_modules", "esm-one", "package.json")
  const changes: Record<string, (folder: string) => void> = {
    "another version": (folder) => writeFileSync(manifest(folder), `${readFileSync(manifest(folder), "utf8")}\n`),
    "a nearer one": (folder) => {
      const nearer = join(folder, "src", "node_modules")
      mkdirSync(nearer)
      renameSync(join(folder, "node_modules", "esm-one"), join(nearer, "esm-one"))
      cpSync(join(nearer, "esm-one"), join(folder, "node_modules", "esm-one"), { recursive: true })
    },
    "a link in its place": (folder) => {
      renameSync(join(folder, "node_modules", "esm-one"), join(folder, "linked"))
      symlinkSync(join(folder, "linked"), join(folder, "node_modules", "esm-one"))
    },
  }
  for (const [what, change] of Object.entries(changes)) {
    const rig = new Rig(t, ADDON, { node_modules: PACKAGES, src: { "b.ts": 'export { x } from "esm-one"' } })
    rig.write("a.ts", 'import { x } from "./src/b.ts"\nexport default { load() { return x } }')
    await rig.run()
    change(rig.folder)
    for (let run = 0; run < 2; run++) await rig.run()
    t.equal(rig.builds, 2, what)
  }
  const rig = new Rig(t, 'import { x } from "esm-one"\nexport default { load() { return x } }', {
    node_modules: PACKAGES,
  })
  await rig.run()
  const { provided } = rig.kept
  rig.keep({ ...rig.kept, provided: Array.isArray(provided) && provided.map(([key]) => [key, ["x", "y"]]) })
  await rig.run()
  t.equal(rig.builds, 2, "other names")
  renameSync(join(rig.folder, "node_modules"), join(rig.folder, "gone"))
  await t.rejects(rig.run(), { message: /Package "esm-one" is not installed/ })
})

test("a build in which a guess had a part is not kept", async (t) => {
  const imports = [
    'import { x } from "ts-one"', // a linked package of one's own
    'const x = import("not-there").catch(() => {})',
    'import { word as x } from "./part"', // a part.tsx that comes later would go before
    'import { word as x } from "./part.js"',
    'import { word as x } from "./sub"',
    'const x = (name) => import("./sub/" + name + ".ts")',
  ]
  for (const line of imports) {
    const beside = { node_modules: PACKAGES, sub: { "index.ts": PART } }
    const rig = new Rig(t, `${line}\nexport default { load() { return x } }`, beside)
    await rig.run()
    await rig.run()
    t.equal(rig.builds, 2, line)
    t.throws(() => rig.entries(), { code: "ENOENT" }, line)
  }
})

test("at most 100 entries are kept; the oldest go", async (t) => {
  const rig = new Rig(t)
  mkdirSync(rig.cacheDir, { recursive: true, mode: 0o700 })
  for (let i = 0; i < 102; i++) {
    const file = join(rig.cacheDir, i === 0 ? ".half-written.tmp" : `${i}.json`)
    writeFileSync(file, "{}")
    utimesSync(file, 1_000 + i, 1_000 + i)
  }
  await rig.run()
  const names = rig.entries().map((file) => basename(file))
  t.equal(names.length, 100)
  t.same(
    [".half-written.tmp", "1.json", "2.json", "3.json"].map((name) => names.includes(name)),
    [false, false, false, true],
  )
  await rig.run()
  t.equal(rig.builds, 1)
})

test("a script over the limit is not kept", async (t) => {
  const rig = new Rig(t, `export const text = "${"x".repeat(8_388_608)}"\nexport function load() {}`)
  await rig.run()
  t.throws(() => rig.entries(), { code: "ENOENT" })
  t.match(rig.lines.at(-1), /^debug addon cache: .*\.json is not written: the script exceeds 8388608 characters$/)
})

test("a folder in which others may write is not read from", async (t) => {
  const rig = new Rig(t)
  await rig.run()
  chmodSync(rig.cacheDir, 0o777)
  await rig.run()
  t.equal(rig.builds, 2)
  t.ok(rig.lines.some((line) => /^debug .* is not used: other users may write in /.test(line)))
})

test("a folder that cannot be made is told at debug level alone", async (t) => {
  const rig = new Rig(t, ADDON, { conf: "a file" })
  await rig.run()
  await rig.run()
  t.equal(rig.builds, 2)
  t.ok(rig.lines.length >= 4)
  t.ok(rig.lines.every((line) => line.startsWith("debug addon cache: ")))
  t.match(await said(rig), ["info a: one/", /^error /])
})

test("the manager runs what is kept, with stacks that name the lines of the source", async (t) => {
  const rig = new Rig(t)
  const first = await said(rig)
  t.match(first, ["info a: one/", /clientConnected failed: here \(.*a\.ts:5:\d+\)$/])
  t.same(await said(rig), first)
  // Only the entry can know this word.
  const { code, ...rest } = rig.kept
  const changed = String(code).replace('"one"', '"two"')
  rig.keep({ ...rest, code: changed, codeHash: fingerprint(Buffer.from(changed)) })
  t.match(await said(rig), ["info a: two/", /a\.ts:5:\d+\)$/])
})

test("a reload builds what has changed since, and the next start takes that", async (t) => {
  const rig = new Rig(t)
  await said(rig)
  const host = addonHost({ cacheDir: rig.cacheDir })
  await host.manager.load([rig.entry])
  rig.write("part.ts", "export const word: string = 'new'")
  t.match(await host.manager.reload(), [{ outcome: "reloaded" }])
  rig.write("part.ts", "export const word: string = {")
  t.match(await host.manager.reload(), [{ outcome: "failed", message: /part\.ts:1:\d+: Expected identifier/ }])
  rig.write("part.ts", "export const word: string = 'newer'")
  t.match(await host.manager.reload(), [{ outcome: "reloaded" }])
  await host.manager.close()
  await rig.run()
  t.equal(rig.builds, 0)
  t.match(await said(rig), ["info a: newer/"])
})

test("an addon that waits at its top level is built each time, and works", async (t) => {
  const rig = new Rig(
    t,
    `const word = await Promise.resolve("waited")\nexport default {
    setup: ({ log }) => ({ clientConnected() { log.info(word) } }) }`,
  )
  for (let i = 0; i < 2; i++) t.match(await said(rig), [/top-level await/, "info a: waited"])
  t.throws(() => rig.entries(), { code: "ENOENT" })
})
