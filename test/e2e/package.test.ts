/**
 * What `npm publish` would send: the compiled program and the addons' sources, and nothing that is only ours. What is
 * packed is enough: it runs from a folder that holds no other file.
 */
import { spawnSync } from "node:child_process"
import { cp, mkdir, readdir, symlink } from "node:fs/promises"
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
  /^docs\/[a-z]+\.md$/,
  /^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/,
]

test("the package holds the program, the addons' sources and the documents, and nothing else", { skip }, async (t) => {
  const files = await packedFiles(t)
  const others = files.filter((file) => !PUBLISHED.some((pattern) => pattern.test(file)))
  t.same(others, [], "no key, no test, no setting of ours")
  const entries = ["dist/bin/llmproxy.js", "dist/lib/index.js", "dist/lib/index.d.ts", "dist/lib/testing/index.js"]
  const addons = (await readdir("addons", { recursive: true })).filter((file) => file.endsWith(".ts"))
  t.ok(addons.length > 1)
  const sources = addons.map((file) => `addons/${file}`)
  for (const file of [...entries, ...sources, "README.md", "docs/addons.md", "LICENSE", "package.json"])
    t.ok(files.includes(file), file)
})

test("what is packed runs: the command, and the shipped addons by name and by path", { skip }, async (t) => {
  const root = join(t.testdir(), "llmproxy")
  for (const file of await packedFiles(t)) {
    await mkdir(dirname(join(root, file)), { recursive: true })
    await cp(file, join(root, file))
  }
  await symlink(join(process.cwd(), "node_modules"), join(root, "node_modules"))
  const folder = join(t.testdirName, "elsewhere")
  await mkdir(folder)
  const addons = ["-s", "addons/conductor.ts", "-s", "hello"]
  const args = ["run", "--confdir", join(folder, "conf"), ...addons, "--", "node", "-e", "console.log('ran')"]
  const command = [process.execPath, join(root, "dist/bin/llmproxy.js"), ...args]
  const outcome = await new RunningCommand(t, command, { folder }).outcome
  exitsWith(t, 0, outcome)
  t.equal(outcome.stdout, "ran\n")
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
