/**
 * `npm run test:mutants -- FILE...`: makes mutants of files of the core (files.mjs; without FILE, of all) and runs their
 * tests against each. A mutant that no test notices, and that equivalents.mjs does not list, fails, and so does a listed
 * one that is noticed or gone.
 */
import { fork } from "node:child_process"
import { readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { transform } from "esbuild"
import { EQUIVALENT } from "./equivalents.mjs"
import { FILES } from "./files.mjs"
import { mutantsOf } from "./mutate.mjs"

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..")
const RUNNER = join(ROOT, "test", "mutants", "run-mutants.mjs")
/** A mutant that takes so many times as long as the file itself goes round for ever, and is noticed. */
const TIMES_MAX = 5
/** Milliseconds that each may take, however quick its tests are: the machine has other work. */
const MS_MIN = 10_000
/** Milliseconds that the tests of the file itself may take. */
const UNCHANGED_MS_MAX = 600_000

const say = (line) => process.stdout.write(`${line}\n`)

/** What became of each mutant of a file: the test that noticed it, or undefined. */
async function tried(file, sources, tests) {
  const results = new Map()
  const job = {
    url: pathToFileURL(join(ROOT, file)).href,
    sources,
    tests: tests.map((test) => pathToFileURL(join(ROOT, test)).href),
  }
  const began = Date.now()
  const [before] = (await runs(job, [0], UNCHANGED_MS_MAX)).values()
  if (before !== undefined) throw new Error(`${file}: its tests fail without a mutant: ${before}`)
  const limit = Math.max(MS_MIN, (Date.now() - began) * TIMES_MAX)
  let rest = sources.map((_, at) => at + 1)
  while (rest.length > 0) {
    // The file as it is comes last: what one mutant leaves behind in the process must not be what notices the next.
    for (const [number, test] of await runs(job, [...rest, 0], limit)) {
      if (number !== 0) results.set(number, test)
      else if (test !== undefined) throw new Error(`${file}: its tests fail behind others in one process: ${test}`)
    }
    rest = rest.filter((number) => !results.has(number))
  }
  return results
}

/** Runs mutants in a process until one of them breaks it, and tells those that were run. */
async function runs(job, numbers, limit) {
  const results = new Map()
  const child = fork(RUNNER, [], {
    cwd: ROOT,
    execArgv: ["--import=./test/typescript/register.mjs", "--conditions=llmproxy-source"],
    stdio: ["pipe", "ignore", "ignore", "ipc"],
    env: { ...process.env, TAP_TIMEOUT: "0" },
  })
  let current = numbers[0]
  let timer
  const watch = () => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      results.set(current, "(it never ends)")
      child.kill("SIGKILL")
    }, limit)
  }
  watch()
  child.on("message", ({ begins, number, test }) => {
    watch()
    if (begins !== undefined) current = begins
    if (number !== undefined) results.set(number, test)
  })
  child.stdin.end(JSON.stringify({ ...job, numbers }))
  const status = await new Promise((done) => child.once("exit", done))
  clearTimeout(timer)
  if (!results.has(current)) results.set(current, `(it ends the process with status ${status})`)
  return results
}

/** The lines to say about one file. Empty: all is as listed. */
async function check(file) {
  const began = Date.now()
  const mutants = mutantsOf(readFileSync(join(ROOT, file), "utf8"), file)
  const sources = await Promise.all(
    mutants.map(
      async ({ source }) => (await transform(source, { loader: "ts", format: "esm", target: "node20" })).code,
    ),
  )
  const results = await tried(file, sources, FILES[file])
  const problems = []
  for (const [at, mutant] of mutants.entries()) {
    const isNoticed = results.get(at + 1) !== undefined
    const isListed = EQUIVALENT.some((entry) => entry.file === file && isSame(entry, mutant))
    if (!isNoticed && !isListed) problems.push(["no test notices", mutant])
    if (isNoticed && isListed) problems.push(["listed, and noticed:", mutant])
  }
  for (const entry of EQUIVALENT.filter((one) => one.file === file))
    if (!mutants.some((mutant) => isSame(entry, mutant))) problems.push(["listed, and gone:", entry])
  const alive = [...results.values()].filter((test) => test === undefined).length
  const seconds = ((Date.now() - began) / 1_000).toFixed(1)
  say(
    `${problems.length === 0 ? "ok" : "not ok"}  ${file}  ${mutants.length} mutants, ${alive} equivalent or not noticed  ${seconds} s`,
  )
  for (const [what, { line, from, to, nth }] of problems)
    say(`  ${what} ${JSON.stringify({ file, line, from, to, nth })}`)
  return problems.length
}

function isSame(entry, mutant) {
  return ["line", "from", "to"].every((name) => entry[name] === mutant[name]) && (entry.nth ?? 1) === mutant.nth
}

const asked = process.argv.slice(2).map((file) => relative(ROOT, resolve(file)))
for (const file of [...asked, ...EQUIVALENT.map((one) => one.file)])
  if (FILES[file] === undefined) throw new Error(`${file}: test/mutants/files.mjs does not name it`)
const queue = asked.length > 0 ? asked : Object.keys(FILES)
let problems = 0
await Promise.all(
  Array.from({ length: Math.max(1, availableParallelism()) }, async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) problems += await check(file)
  }),
)
say(problems === 0 ? "every mutant is noticed, or listed" : `${problems} to look at`)
process.exitCode = problems === 0 ? 0 : 1
