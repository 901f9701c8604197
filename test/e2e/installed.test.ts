/**
 * The tarball as a user installs it: `npm pack`, `npm i -g` into a folder of its own, the command, its demo, an addon by
 * name, and `npm rm -g` behind which nothing is left. It asks the registry that npm is set to for the dependencies.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type Test, test } from "tap"
import { exitsWith, missing, plainEnvironment, RunningCommand } from "../helpers/command-process.ts"
import { builtCommand } from "../helpers/dist.ts"

/** What npm says in an environment that has its settings: the registry is the machine's. */
function npm(args: readonly string[], env: NodeJS.ProcessEnv, cwd = process.cwd()) {
  const { status, stdout, stderr } = spawnSync("npm", args, { cwd, env, encoding: "utf8" })
  return { status, stdout, stderr }
}

/** Why it cannot be done here; false: it can. One small dependency is asked for, once. */
function unreachable(): string | false {
  const lacks = missing("npm")
  if (lacks !== false) return lacks
  const { status, stderr } = npm(["view", "uqr", "version", "--fetch-retries=0"], process.env)
  return status === 0 ? false : `npm's registry is not reached: ${stderr.split("\n")[0]}`
}

const skip = unreachable()

/** A global folder of the test's alone, in npm's own words. */
function globalFolder(t: Test) {
  const folder = t.testdir()
  const prefix = join(folder, "global")
  const env = { ...process.env, npm_config_prefix: prefix, npm_config_cache: join(folder, "cache") }
  return { folder, prefix, env, bin: join(prefix, "bin", "llmproxy") }
}

test("npm i -g of the tarball gives the command, and npm rm -g takes all of it", { skip }, async (t) => {
  builtCommand()
  const { folder, prefix, env, bin } = globalFolder(t)
  const packed = npm(["pack", "--ignore-scripts", "--pack-destination", folder], env)
  t.equal(packed.status, 0, packed.stderr)
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? ""
  const quiet = ["--no-audit", "--no-fund", "--ignore-scripts"]
  const installed = npm(["install", "-g", ...quiet, join(folder, tarball)], env, folder)
  t.equal(installed.status, 0, installed.stderr)

  const run = async (...args: string[]) => {
    const home = plainEnvironment(folder)
    return await new RunningCommand(t, [bin, ...args], { folder, env: home }).outcome
  }
  const { version }: { version: string } = JSON.parse(readFileSync("package.json", "utf8"))
  const told = await run("--version")
  exitsWith(t, 0, told)
  t.equal(told.stdout, `${version}\n`)
  const demo = await run("demo", "--once")
  exitsWith(t, 0, demo)
  t.match(demo.stdout, /\nAll 8 requests went as told\.\n$/)
  const ran = await run("run", "-s", "conductor", "-s", "hello", "--", "node", "-e", "console.log('ran')")
  exitsWith(t, 0, ran)
  t.equal(ran.stdout, "ran\n")

  const removed = npm(["rm", "-g", "llmproxy"], env, folder)
  t.equal(removed.status, 0, removed.stderr)
  t.notOk(existsSync(bin))
  const modules = join(prefix, "lib", "node_modules")
  t.same(existsSync(modules) ? readdirSync(modules).filter((name) => !name.startsWith(".")) : [], [])
  t.same(
    readdirSync(folder).sort(),
    [".llmproxy", "cache", "global", tarball],
    "what it has kept is in ~/.llmproxy alone",
  )
})
