import { spawnSync } from "node:child_process"
import { readdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { appendRecord } from "../../../addons/pythagora-files/json-array.ts"
import { missing } from "../../helpers/command-process.ts"

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)
const record = (output: string) => ({
  instruction: 'a "b" \\ \n\t é 😀 \u2028 \u0001',
  output,
  tokens: 3,
  client: "OpenAI",
})
const written = (...records: object[]) => JSON.stringify(records, null, 4)

test("each record is added as if the whole array had been written anew", async (t) => {
  const path = join(t.testdir({}), "history.json")
  const records: object[] = []
  for (let i = 0; i < 5; i++) {
    records.push(record(`answer ${i} ]`))
    t.equal(await appendRecord(path, records[i] ?? {}, NOW), undefined)
    t.equal(await readFile(path, "utf8"), written(...records))
  }
  if (process.platform !== "win32") t.equal((await stat(path)).mode & 0o777, 0o600)
})

test("the bytes are those of Python's json.dumps", { skip: missing("python3") }, async (t) => {
  const path = join(t.testdir({}), "history.json")
  await appendRecord(path, record("one"), NOW)
  await appendRecord(path, record("two"), NOW)
  const script =
    "import json,sys; sys.stdout.write(json.dumps(json.load(open(sys.argv[1], encoding='utf8')), indent=4, ensure_ascii=False))"
  const python = spawnSync("python3", ["-c", script, path], {
    encoding: "utf8",
    env: { ...process.env, PYTHONIOENCODING: "utf8" },
  })
  t.equal(await readFile(path, "utf8"), python.stdout)
})

test("arrays that other programs wrote are added to, however they end", async (t) => {
  const path = join(t.testdir({}), "history.json")
  for (const [text, count] of [
    ["", 1],
    ["[]", 1],
    [" [ \n ] \n", 1],
    ['[{"a":1}]', 2],
    ['[\n    {\n        "a": "é"\n    }\n]\n\n', 2],
    [`[{"a":"${"é".repeat(300)}"}]`, 2],
  ] as const) {
    await writeFile(path, text)
    t.equal(await appendRecord(path, record("new"), NOW), undefined)
    const records: unknown = JSON.parse(await readFile(path, "utf8"))
    t.ok(Array.isArray(records) && records.length === count, text.slice(0, 20))
    t.match(Array.isArray(records) ? records.at(-1) : undefined, { output: "new" })
  }
})

test("a damaged file is set aside as it is, and a new one begins", async (t) => {
  for (const text of ['[{"a":1},{"b', '{"a":1}', "hello", "[1, 2]", '{"a":[{}]', " "]) {
    const folder = t.testdir({ "history.json": text })
    const path = join(folder, "history.json")
    const aside = await appendRecord(path, record("new"), NOW)
    t.equal(aside, `${path}.damaged-20260102T030405000Z`, text)
    t.equal(await readFile(aside ?? "", "utf8"), text)
    t.equal(await readFile(path, "utf8"), written(record("new")))
    t.equal((await readdir(folder)).length, 2)
  }
})

test("the cost does not grow with the file", async (t) => {
  const path = join(t.testdir({}), "history.json")
  await writeFile(path, `[${`{"a":"${"x".repeat(50_000_000)}"}`}]`)
  const before = (await stat(path)).ctimeMs
  const heap = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed
  await appendRecord(path, record("new"), NOW)
  t.ok(process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - heap < 10_000_000, "the file is not read")
  t.ok((await stat(path)).ctimeMs >= before)
})

test("what is no file is an error, not a loss", async (t) => {
  const folder = t.testdir({ "history.json": {} })
  await t.rejects(appendRecord(join(folder, "history.json"), record("x"), NOW), { code: "EISDIR" })
  await t.rejects(appendRecord(join(folder, "none", "history.json"), record("x"), NOW), { code: "ENOENT" })
})
