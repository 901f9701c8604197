/** `npm start` and `npm run build`: what is said at once, and that nothing is made again that is there. */
import { spawnSync } from "node:child_process"
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { dirname, join, resolve } from "node:path"
import { type Test, test } from "tap"
import { builtCommand } from "../helpers/dist.ts"

const ROOT = resolve(import.meta.dirname, "../..")

test("npm start says what it does before it builds", async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"))
  const [first] = String(scripts.start).split("&&")
  const { stdout } = spawnSync(String(first), { shell: true, encoding: "utf8" })
  t.match(stdout, /^Building llmproxy/)
})

test("a build of what is built writes nothing", async (t) => {
  builtCommand()
  const times = () => {
    const names = readdirSync(join(ROOT, "dist", "bin"))
    return names.map((name) => [name, statSync(join(ROOT, "dist", "bin", name)).mtimeMs])
  }
  const before = times()
  const { status } = spawnSync("npm", ["run", "--silent", "build"], { cwd: ROOT, stdio: "inherit", shell: true })
  t.equal(status, 0)
  t.same(times(), before)
})

/** A checkout of its own, without a build. */
function checkout(t: Test): string {
  const root = t.testdir()
  for (const name of ["bin", "lib", "certs", "addons", "package.json", "build.mjs"])
    cpSync(join(ROOT, name), join(root, name), { recursive: true })
  symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"))
  return root
}

function build(root: string) {
  return spawnSync(process.execPath, [join(root, "build.mjs")], { encoding: "utf8" })
}

/** The content of each file of a build, by its path. */
function contentsOf(root: string): Map<string, string> {
  const dist = join(root, "dist")
  const names = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((name) => /\.[jt]s$/.test(name))
  return new Map(names.sort().map((name) => [name, readFileSync(join(dist, name), "utf8")]))
}

test("a build takes away what is no part of the program, and mends what is broken", async (t) => {
  const root = checkout(t)
  t.match(build(root), { status: 0, stderr: "" })
  const whole = contentsOf(root)
  t.ok(whole.has(join("bin", "llmproxy.js")))
  const old = ["lib/old.js", "lib/old.d.ts", "lib/chunks/chunk-OLD.js", "addons/old/part.js", "certs/leaf.js"]
  for (const name of old) {
    const path = join(root, "dist", name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, "")
  }
  writeFileSync(join(root, "dist", "lib", "index.d.ts"), "the types of a source that is there")
  writeFileSync(join(root, "dist", "lib", "index.js"), "half of i")
  rmSync(join(root, "dist", "bin"), { recursive: true })
  const [chunk = ""] = readdirSync(join(root, "dist", "lib", "chunks"))
  rmSync(join(root, "dist", "lib", "chunks", chunk))
  t.match(build(root), { status: 0, stderr: "" })
  whole.set(join("lib", "index.d.ts"), "the types of a source that is there")
  t.strictSame(contentsOf(root), new Map([...whole].sort()))
})

test("no entry is written before the chunks that it may import", async (t) => {
  const root = checkout(t)
  t.match(build(root), { status: 0, stderr: "" })
  const dist = join(root, "dist")
  const names = [...contentsOf(root).keys()]
  const chunks = names.filter((name) => name.startsWith(join("lib", "chunks")))
  const entries = names.filter((name) => !chunks.includes(name))
  const times = (some: string[]) => some.map((name) => statSync(join(dist, name), { bigint: true }).mtimeNs).sort()
  const [last] = times(chunks).slice(-1)
  const [first] = times(entries)
  t.ok(last !== undefined && first !== undefined && last <= first)
})

test("a build whose program fails is not taken for a whole one", async (t) => {
  const root = checkout(t)
  for (const name of ["tsconfig.json", "tsconfig.build.json"]) cpSync(join(ROOT, name), join(root, name))
  writeFileSync(join(root, "build.mjs"), "process.exit(1)")
  const { status } = spawnSync("npm", ["run", "--silent", "build"], { cwd: root, shell: true })
  t.not(status, 0)
  t.notOk(existsSync(join(root, "dist", "tsconfig.build.tsbuildinfo")), "what test/helpers/dist.ts goes by")
})
