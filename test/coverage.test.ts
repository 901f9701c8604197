/** What the gate of `npm run test:all` measures. */
import { execFile } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { test } from "tap"

const { Coverage, environment } = await import(new URL("coverage.mjs", import.meta.url).href)

test("what ran in a process, in a thread and in an addon's bundle is told by line and branch of each file", async (t) => {
  const folder = t.testdir()
  const args = ["--import=./test/typescript/register.mjs", "--conditions=llmproxy-source"]
  const env = { ...process.env, ...environment(folder) }
  await promisify(execFile)(process.execPath, [...args, "test/fixtures/measured/runs.ts"], { env })
  const coverage = new Coverage()
  t.strictSame(await coverage.take(folder), [])
  t.equal(coverage.unknown, 0)
  const files = coverage.files()
  const lineOf = (file: string, text: string) =>
    readFileSync(file, "utf8")
      .split("\n")
      .findIndex((line) => line.includes(text)) + 1

  t.strictSame(files.get("lib/base/uuid.ts"), { lines: 100, branches: 100, missed: [], missedBlocks: [] })
  const percent = files.get("lib/base/percent.ts")
  const escapes = lineOf("lib/base/percent.ts", "return escapes")
  t.ok(percent.missed.includes(escapes), "the thread decoded, and what fails there did not run")
  t.notOk(percent.missed.includes(lineOf("lib/base/percent.ts", "return decodeURIComponent")))
  t.ok(percent.branches < 100)
  const hello = files.get("addons/hello.ts")
  t.notOk(hello.missed.includes(lineOf("addons/hello.ts", "export default")))
  t.ok(hello.missed.includes(lineOf("addons/hello.ts", "answers += 1")))
})

test("counts that are still being written are left, and told of", async (t) => {
  const folder = t.testdir()
  writeFileSync(join(folder, "coverage-1.json"), '{"result":[')
  t.strictSame(await new Coverage().take(folder), [join(folder, "coverage-1.json")])
})
