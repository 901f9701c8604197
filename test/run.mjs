/**
 * `npm test` and `npm run test:all`: type check, lint, exports that nobody uses, build, the architecture test, every other
 * test. What only `test:all` runs, as it takes long, is listed in long.mjs, and said. `test:all` also holds each file of
 * the program and of its addons against the coverage that it has to reach. Says what it does while it does it, and ends
 * with one line: "N passed, N failed", with what was skipped behind it.
 * Plain JavaScript, so that it runs before anything is compiled.
 */
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { availableParallelism } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { Coverage, environment } from "./coverage.mjs"
import { writeGroups } from "./groups.mjs"
import { LONG } from "./long.mjs"
import { failuresIn, filesIn, totalsIn } from "./tap-output.mjs"
import { CACHE, compiled } from "./typescript/hooks.mjs"

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..")
const COVERED = [
  "addons",
  "certs",
  "lib/api",
  "lib/base",
  "lib/cli",
  "lib/http1",
  "lib/llm",
  "lib/loader",
  "lib/options",
  "lib/proxy",
  "lib/serve",
  "lib/services",
  "lib/store",
  "lib/targets",
  "lib/websocket",
]
/** Per cent. */
const LINES_MIN = 95
const BRANCHES_MIN = 85
/** Where each process that the tests start leaves what V8 counted. */
const COUNTS = join(ROOT, ".tap", "v8")
/** Test processes at a time: each uses a little more than one core, and most of them wait for sockets. */
const JOBS = Math.max(2, availableParallelism())
const ALL = process.argv.includes("--all")

const bin = (name) => join(ROOT, "node_modules", ".bin", name)
const say = (text) => process.stdout.write(`${text}\n`)
const seconds = (from) => `${((Date.now() - from) / 1000).toFixed(1)} s`

/** Runs a program to its end; `onText` gets what it says as it comes. */
async function run(command, args, onText, env = {}) {
  const child = spawn(command, args, {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32",
    env: { ...process.env, ...(ALL ? { LLMPROXY_TEST_ALL: "1" } : {}), ...env },
  })
  let output = ""
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output += text
    onText?.(text, false)
  })
  child.stderr.setEncoding("utf8").on("data", (text) => onText?.(text, true))
  const ok = await new Promise((done) => {
    child.on("error", (error) => {
      output += `${error.message}\n`
      done(false)
    })
    child.on("close", (status) => done(status === 0))
  })
  return { ok, output }
}

/** A step that is quiet while all is well. */
async function step(title, command, args) {
  const from = Date.now()
  let text = ""
  const { ok } = await run(command, args, (piece) => {
    text += piece
  })
  say(`${ok ? "ok" : "not ok"}  ${title}  ${seconds(from)}`)
  if (!ok) say(text.trimEnd())
  return ok
}

async function inTurn(...steps) {
  const results = []
  for (const one of steps) results.push(await one())
  return results
}

function filesBelow(folder, end = ".ts") {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === "fixtures" ? [] : filesBelow(path, end)
    return path.endsWith(end) ? [path] : []
  })
}

/** Compiles every file, so that no test's process waits for it; what is kept of files that have changed since goes. */
async function compileAll() {
  mkdirSync(CACHE, { recursive: true })
  const before = new Set(readdirSync(CACHE))
  const files = ["bin", "lib", "addons", "certs", "test"].flatMap((folder) => filesBelow(folder))
  const kept = await Promise.all(files.map(async (file) => (await compiled(join(ROOT, file))).name))
  for (const name of kept) before.delete(name)
  for (const name of before) rmSync(join(CACHE, name), { force: true })
}

/**
 * Says each file's or group's result as it comes: what is running can be told from what hangs. `names`: what is said of a
 * file in place of its path.
 */
async function runTests(files, names, onFile, env) {
  let seen = 0
  let rest = ""
  const args = ["--reporter=tap", `--jobs=${JOBS}`, "--disable-coverage", ...files]
  const onText = (text, isError) => {
    if (isError) return void process.stderr.write(text)
    const lines = (rest + text).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      const [file] = filesIn(line)
      const [, figures] = /^ *# figures: (.*)$/.exec(line) ?? []
      if (file !== undefined) {
        seen += 1
        onFile()
      }
      if (file !== undefined)
        say(
          `${String(seen).padStart(4)}/${files.length}  ${file.ok ? "ok" : "not ok"}  ${names.get(file.name) ?? file.name}  ${file.seconds} s`,
        )
      if (figures !== undefined) say(`      ${figures}`)
      if (/# SKIP/.test(line)) say(`      skipped: ${line.trim()}`)
    }
  }
  return await run(bin("tap"), args, onText, env)
}

/** What is below its bound, or never loaded by a test. Files without a line of code (types) have nothing to cover. */
function uncovered(coverage, unread) {
  const files = coverage.files()
  const gaps = unread.map((path) => `${path}: cannot be read`)
  if (coverage.unknown > 0) gaps.push(`${coverage.unknown} scripts are of no source that is known`)
  for (const path of COVERED.flatMap((folder) => filesBelow(folder))) {
    const file = files.get(path)
    if (file === undefined && !typesOnly(path)) gaps.push(`${path}: no test loads it`)
    if (file === undefined) continue
    const { lines, branches, missed, missedBlocks } = file
    if (lines < LINES_MIN) gaps.push(`${path}: ${lines} % of lines; not ${missed.join(", ")}`)
    if (branches < BRANCHES_MIN)
      gaps.push(`${path}: ${branches} % of branches; not those in ${missedBlocks.join(", ")}`)
  }
  return gaps
}

/** Whether a file declares nothing that exists when the program runs. */
function typesOnly(path) {
  const code = readFileSync(join(ROOT, path), "utf8").replace(/\/\*[\s\S]*?\*\//g, "")
  return !/^(export )?(default |async )?(function|class|const|let)\b/m.test(code)
}

const began = Date.now()
say("types, lint, unused exports, build ...")
const steps = (
  await Promise.all([
    inTurn(() => step("types", bin("tsc"), ["-p", "."])),
    inTurn(
      () => step("lint and format", bin("biome"), ["check", "--error-on-warnings", "."]),
      () => step("unused exports", bin("knip"), ["--no-progress"]),
      () => step("build: program", process.execPath, ["build.mjs"]),
      () => step("build: types", bin("tsc"), ["-p", "tsconfig.build.json"]),
    ),
  ])
).flat()

// tap comes with a compiler of its own, which each process would load; .taprc leaves it out, which tap has to be built for.
const tapParts = join(ROOT, "node_modules", "@tapjs", "test", "test-built", "dist", "esm", "index.js")
if (!existsSync(tapParts) || readFileSync(tapParts, "utf8").includes("@tapjs/typescript"))
  steps.push(await step("tap without its compiler", bin("tap"), ["build"]))

await compileAll()
const long = ALL ? [] : LONG
const files = filesBelow("test", ".test.ts")
for (const path of LONG) if (!files.includes(path)) throw new Error(`test/long.mjs names ${path}, which is no test`)
const chosen = files.filter((path) => !long.includes(path))
const groups = ALL ? new Map() : writeGroups(chosen, ROOT, join(ROOT, ".tap", "groups"))
const started = ALL ? chosen : [...groups.keys()]
const together = ALL ? "" : ` in ${started.length} processes`
say(`\n${chosen.length} test files${together}, ${JOBS} at a time ...`)
const coverage = new Coverage()
let taken = Promise.resolve([])
const take = () => {
  if (ALL) taken = taken.then(() => coverage.take(COUNTS))
}
rmSync(COUNTS, { recursive: true, force: true })
if (ALL) mkdirSync(COUNTS, { recursive: true })
const tests = await runTests(started, groups, take, ALL ? environment(COUNTS) : {})
take()
const gaps = ALL ? uncovered(coverage, await taken) : []
const bounds = `${LINES_MIN} % of lines or ${BRANCHES_MIN} % of branches`
if (gaps.length > 0) say(`\nless than ${bounds} are covered:\n${gaps.map((gap) => `  ${gap}`).join("\n")}`)
const failures = failuresIn(tests.output)
const called = (text) => text.replace(/\.tap\/groups\/\S+?\.test\.mjs/g, (module) => groups.get(module) ?? module)
if (failures.length > 0) say(`\nfailed:\n${called(failures.join("\n\n"))}`)
if (long.length > 0)
  say(`\nnot run, as they take long (npm run test:all runs them): ${long.length} files of test/long.mjs`)

const { pass, fail, skip, todo } = totalsIn(tests.output)
const broken = steps.filter((ok) => !ok).length + (tests.ok || fail > 0 ? 0 : 1) + (gaps.length > 0 ? 1 : 0)
const skipped = skip + todo > 0 ? `, ${skip + todo} skipped` : ""
say(`\n${seconds(began)}`)
say(`${pass} passed, ${fail + broken} failed${skipped}`)
process.exitCode = pass > 0 && fail + broken === 0 ? 0 : 1
