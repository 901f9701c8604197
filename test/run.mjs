/**
 * `npm test`: type check, lint, exports that nobody uses, build, the architecture test, every other test, and the coverage that each file of the
 * core has to reach. Ends with one line: "N passed, N failed", with what was skipped behind it.
 * Plain JavaScript, so that it runs before anything is compiled.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..")
const COVERED = ["lib/http1", "lib/websocket", "lib/proxy", "lib/llm", "certs"]
/** Per cent of lines. */
const LINES_MIN = 95

const bin = (name) => join(ROOT, "node_modules", ".bin", name)

/** Runs a step; its output is shown as it comes, and returned where it is wanted. */
function run(title, command, args, { capture = false } = {}) {
  process.stdout.write(`\n# ${title}\n`)
  const stdio = capture ? ["ignore", "pipe", "inherit"] : ["ignore", "inherit", "inherit"]
  const options = { cwd: ROOT, stdio, encoding: "utf8", maxBuffer: 1 << 30, shell: process.platform === "win32" }
  const { status, stdout, error } = spawnSync(command, args, options)
  if (error !== undefined) process.stdout.write(`${error.message}\n`)
  return { ok: status === 0, output: stdout ?? "" }
}

/** tap's own summary line: `# { total: 9, pass: 8, skip: 1 }`. */
function totalsOf(output) {
  const found = [...output.matchAll(/^# \{ total: (\d+)(.*)\}\s*$/gm)].at(-1)
  const count = (word) => Number(new RegExp(`${word}: (\\d+)`).exec(found?.[2] ?? "")?.[1] ?? 0)
  return {
    total: Number(found?.[1] ?? 0),
    pass: count("pass"),
    fail: count("fail"),
    skip: count("skip"),
    todo: count("todo"),
  }
}

/** What a person wants of a TAP stream: a line a file, and skips with their reasons. */
function showTap(output) {
  const lines = output.split("\n")
  const from = lines.findIndex((line) => line.startsWith("ok ") || line.startsWith("not ok "))
  const shown = lines.slice(Math.max(from, 0)).filter((line) => /^(ok|not ok|#)|# SKIP/.test(line))
  process.stdout.write(`${shown.join("\n")}\n`)
  for (const line of lines) if (/# SKIP/.test(line)) process.stdout.write(`skipped: ${line.trim()}\n`)
  for (const line of lines)
    if (/^ *# figures: /.test(line)) process.stdout.write(`${line.replace(/^ *# figures: /, "")}\n`)
}

/** Every failed assertion with its details, under the file and the tests that it is in. */
function failuresOf(output) {
  const failures = []
  const within = []
  let details
  for (const line of output.split("\n")) {
    const depth = line.length - line.trimStart().length
    const text = line.trim()
    if (details !== undefined && (details.length > 2 || text === "---")) {
      details.push(line)
      if (text === "...") details = undefined
      continue
    }
    details = undefined
    const subtest = /^ *# Subtest: (.*)$/.exec(line)
    if (subtest !== null) within.splice(depth / 4, within.length, subtest[1])
    if (!/^ *not ok /.test(line)) continue
    details = [within.slice(0, depth / 4).join(" > "), line]
    failures.push(details)
  }
  return failures.map((lines) => lines.join("\n").trimStart())
}

function filesBelow(folder) {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesBelow(path) : path.endsWith(".ts") ? [path] : []
  })
}

/** Files of the core below LINES_MIN, or never loaded by a test. Files without a line of code (types) have nothing to cover. */
function uncovered() {
  const file = join(ROOT, ".tap", "report", "coverage-summary.json")
  if (!existsSync(file)) return ["no coverage was reported"]
  const summary = Object.fromEntries(
    Object.entries(JSON.parse(readFileSync(file, "utf8"))).map(([path, value]) => [relative(ROOT, path), value]),
  )
  return COVERED.flatMap(filesBelow).flatMap((path) => {
    const lines = summary[path]?.lines
    if (lines === undefined) return typesOnly(path) ? [] : [`${path}: no test loads it`]
    return lines.pct < LINES_MIN ? [`${path}: ${lines.pct} % of lines`] : []
  })
}

/** Whether a file declares nothing that exists when the program runs. */
function typesOnly(path) {
  const code = readFileSync(join(ROOT, path), "utf8").replace(/\/\*[\s\S]*?\*\//g, "")
  return !/^(export )?(default |async )?(function|class|const|let)\b/m.test(code)
}

const steps = [
  run("types", bin("tsc"), ["-p", "."]),
  run("lint and format", bin("biome"), ["check", "--error-on-warnings", "."]),
  run("unused exports", bin("knip"), ["--no-progress"]),
  run("build", bin("tsc"), ["-p", "tsconfig.build.json"]),
]
const architecture = run("architecture", bin("tap"), ["--disable-coverage", "test/architecture.test.ts"], {
  capture: true,
})
showTap(architecture.output)
const tests = run("tests", bin("tap"), ["--coverage-report=json-summary", "--reporter=tap"], { capture: true })
showTap(tests.output)
const gaps = uncovered()
if (gaps.length > 0)
  process.stdout.write(`\nless than ${LINES_MIN} % of lines are covered:\n${gaps.map((gap) => `  ${gap}\n`).join("")}`)

const failures = [architecture, tests].flatMap(({ output }) => failuresOf(output))
if (failures.length > 0) process.stdout.write(`\nfailed:\n${failures.join("\n\n")}\n`)

const { pass, fail, skip, todo } = totalsOf(tests.output)
const broken =
  steps.filter(({ ok }) => !ok).length +
  (architecture.ok ? 0 : 1) +
  (tests.ok || fail > 0 ? 0 : 1) +
  (gaps.length > 0 ? 1 : 0)
const skipped = skip + todo > 0 ? `, ${skip + todo} skipped` : ""
process.stdout.write(`\n${pass} passed, ${fail + broken} failed${skipped}\n`)
process.exitCode = pass > 0 && fail + broken === 0 ? 0 : 1
