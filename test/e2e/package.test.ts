/**
 * What `npm publish` would send: the compiled program and the addons' sources, and nothing that is only ours. What is
 * packed is enough: it runs from a folder that holds no other file.
 */
import { spawnSync } from "node:child_process"
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { type Test, test } from "tap"
import { exitsWith, missing, plainEnvironment, RunningCommand } from "../helpers/command-process.ts"
import { builtCommand } from "../helpers/dist.ts"
import { npmSettings } from "../helpers/hosts/npm-registry.ts"

const skip = missing("npm")

/** Folders and endings of what is published. */
const PUBLISHED = [
  /^dist\/(bin|lib|certs|addons)\/.*\.(js|js\.map|d\.ts)$/,
  /^addons\/.*\.ts$/,
  /^docs\/[a-z-]+\.(md|svg)$/,
  /^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/,
]

test("the package holds the program, the addons' sources and the documents, and nothing else", { skip }, async (t) => {
  const files = await packedFiles(t)
  const others = files.filter((file) => !PUBLISHED.some((pattern) => pattern.test(file)))
  t.same(others, [], "no key, no test, no setting of ours")
  const { exports }: { exports: Record<string, string | Record<string, string>> } = JSON.parse(
    await readFile("package.json", "utf8"),
  )
  // What only this checkout has is under a condition of its own.
  const exported = Object.values(exports).flatMap((one) =>
    typeof one === "string" ? one : [one.types ?? "", one.default ?? ""],
  )
  const entries = ["dist/bin/llmproxy.js", ...exported.map((file) => file.replace("./", ""))]
  t.ok(entries.length > 10)
  const addons = (await readdir("addons", { recursive: true })).filter((file) => file.endsWith(".ts"))
  t.ok(addons.length > 1)
  const sources = addons.map((file) => `addons/${file}`)
  for (const file of [...entries, ...sources, "README.md", "docs/addons.md", "LICENSE", "package.json"])
    t.ok(files.includes(file), file)
})

test("what is packed runs: the command, and the shipped addons by name and by path", { skip }, async (t) => {
  // What a URL writes otherwise than a path.
  const root = join(t.testdir(), "my llmpröxy")
  for (const file of await packedFiles(t)) {
    await mkdir(dirname(join(root, file)), { recursive: true })
    await cp(file, join(root, file))
  }
  await symlink(join(process.cwd(), "node_modules"), join(root, "node_modules"))
  const folder = join(t.testdirName, "else where")
  await mkdir(folder)
  const addons = ["-s", "addons/conductor.ts", "-s", "hello"]
  const run = async (...scripts: string[]) => {
    const args = ["run", "--confdir", join(folder, "conf"), ...scripts, "--", "node", "-e", "console.log('ran')"]
    return await new RunningCommand(t, [process.execPath, join(root, "dist/bin/llmproxy.js"), ...args], { folder })
      .outcome
  }
  const outcome = await run(...addons)
  exitsWith(t, 0, outcome)
  t.equal(outcome.stdout, "ran\n")
  await writeFile(join(folder, "own.ts"), "export const setup = ({ serve }) => ({\n  load: () => serve({}),\n})")
  const refused = await run("-s", "./own.ts")
  t.match(refused.stderr, /addon "own": load failed: .* \(own\.ts:2:15\)$/m, "not the line of ours that refuses it")
})

test("where esbuild is missing shipped addons run as they were compiled, and others say what to do", {
  skip,
}, async (t) => {
  // Outside of this checkout, whose esbuild would be found.
  const place = await mkdtemp(join(tmpdir(), "llmproxy-package-"))
  t.teardown(() => rm(place, { recursive: true, force: true }))
  const root = join(place, "llmproxy")
  t.testdir()
  for (const file of await packedFiles(t)) {
    await mkdir(dirname(join(root, file)), { recursive: true })
    await cp(file, join(root, file))
  }
  const modules = join(process.cwd(), "node_modules")
  await mkdir(join(root, "node_modules"))
  for (const name of await readdir(modules))
    if (!/^(@?esbuild|\.)/.test(name)) await symlink(join(modules, name), join(root, "node_modules", name))
  // As after `npm install --omit=optional`: its program is a package of its own.
  await cp(join(modules, "esbuild"), join(root, "node_modules", "esbuild"), { recursive: true })
  const folder = join(place, "elsewhere")
  await mkdir(folder)
  await writeFile(join(folder, "own.ts"), "export default { load() {} }")
  const start = async (...scripts: string[]) => {
    const named = scripts.flatMap((script) => ["-s", script])
    const args = ["run", "--confdir", join(folder, "conf"), ...named, "--", "node", "-e", "console.log('ran')"]
    return await new RunningCommand(t, [process.execPath, join(root, "dist/bin/llmproxy.js"), ...args], { folder })
      .outcome
  }
  const shipped = await start("conductor", "hello")
  exitsWith(t, 0, shipped)
  t.equal(shipped.stdout, "ran\n")
  for (const name of ["conductor", "requery", "hello"])
    t.match(
      shipped.stderr,
      new RegExp(`${name}\\.ts: cannot be built: esbuild cannot be started .*runs as it was compiled`),
    )
  for (const what of [/The package "@esbuild\/[\w-]+" could not be found/, /Cannot find package 'esbuild'/]) {
    const own = await start("./own.ts")
    exitsWith(t, 2, own)
    t.match(own.stderr, what)
    t.match(own.stderr, /^llmproxy: own\.ts: cannot be built: esbuild cannot be started \(.+\); .*without that$/m)
    await rm(join(root, "node_modules", "esbuild"), { recursive: true, force: true })
  }
})

/** Paths as npm would pack them. */
async function packedFiles(t: Test): Promise<string[]> {
  builtCommand()
  const folder = t.testdirName
  const env = plainEnvironment(folder, npmSettings(folder))
  const { stdout, stderr, status } = spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    env,
    encoding: "utf8",
  })
  t.equal(status, 0, stderr)
  const parsed: Record<string, { files: { path: string }[] }> = JSON.parse(stdout)
  const [packed] = Object.values(parsed) // npm 11 prints a list, with one entry.
  return packed?.files.map(({ path }) => path) ?? []
}
