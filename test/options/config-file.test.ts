import { join } from "node:path"
import { test } from "tap"
import { readConfigFile } from "../../lib/options/config-file.ts"
import { NO_SOURCES } from "../../lib/options/sources.ts"
import { OptionStore } from "../../lib/options/store.ts"

test("a config file holds options by name, an addon's below its name", async (t) => {
  const path = join(t.testdir({ "c.yaml": "port: 9\nbudget:\n  limit: 5000 # tokens\nmode: [regular]\n" }), "c.yaml")
  const config = await readConfigFile(path, false)
  t.equal(config?.path, path)
  t.same(config?.values, { port: 9, budget: { limit: 5000 }, mode: ["regular"] })
  t.same([config?.lineOf?.("port"), config?.lineOf?.("budget", "limit"), config?.lineOf?.("none")], [1, 3, undefined])
})

test("an empty file, or one of comments, sets nothing", async (t) => {
  const folder = t.testdir({ "empty.yaml": "", "comment.yaml": "# port: 9\n" })
  for (const file of ["empty.yaml", "comment.yaml"])
    t.same((await readConfigFile(join(folder, file), true))?.values, {}, file)
})

test("a missing config file is an error only when it was named", async (t) => {
  const path = join(t.testdir({}), "config.yaml")
  t.equal(await readConfigFile(path, false), undefined)
  await t.rejects(readConfigFile(path, true), {
    name: "UsageError",
    message: `config file ${path}: there is no such file`,
  })
  await t.rejects(readConfigFile(t.testdirName, false), { name: "UsageError", message: /cannot be read \(EISDIR\)/ })
})

test("a folder that is a file holds no config, and naming one in it is an error", async (t) => {
  const path = join(t.testdir({ file: "" }), "file", "config.yaml")
  t.equal(await readConfigFile(path, false), undefined)
  await t.rejects(readConfigFile(path, true), { name: "UsageError", message: /cannot be read \(ENOTDIR\)/ })
})

test("an error names the file, the line and what is wrong", async (t) => {
  const cases: [string, RegExp][] = [
    ["port: 1\nbudget: {limit: 5\n", /bad\.yaml:\d+:\d+: \S/],
    ["port: 1\nport: 2\n", /bad\.yaml:2:1: Map keys must be unique$/],
    ["a: b: c\n", /bad\.yaml:1:4: Nested mappings are not allowed/],
    ["- port\n", /bad\.yaml:1:1: must hold options by name/],
    ["port\n", /bad\.yaml:1:1: must hold options by name/],
    ["port: *nothing\n", /bad\.yaml.*nothing/],
  ]
  for (const [text, message] of cases) {
    const path = join(t.testdir({ "bad.yaml": text }), "bad.yaml")
    await t.rejects(readConfigFile(path, false), { name: "UsageError", message }, text)
  }
})

test("a file of aliases that multiply is refused instead of filling the memory", async (t) => {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
  for (let i = 1; i < 10; i++)
    lines.push(
      `a${i}: &a${i} [${Array(9)
        .fill(`*a${i - 1}`)
        .join(", ")}]`,
    )
  const path = join(t.testdir({ "bomb.yaml": lines.join("\n") }), "bomb.yaml")
  await t.rejects(readConfigFile(path, false), { name: "UsageError", message: /alias/i })
})

test("a bad value or an unknown name in a config file is told with its line", async (t) => {
  const specs = { limit: { type: "integer", help: "A limit." } } as const
  const cases: [string, RegExp][] = [
    ["budget:\n  limit: abc\n", /^budget\.limit: abc \(.*c\.yaml:2\): budget\.limit must be an integer$/],
    [
      "# one\nbudget:\n  limit: 1\n  limti: 2\n",
      /c\.yaml:4: budget: addon "budget" has no option named "limti"; did you mean/,
    ],
    ["budget: {}\nbugdet: 5\n", /c\.yaml:2: no option named "bugdet"; did you mean "budget"\?$/],
    ["\nbudget: 5\n", /c\.yaml:2: budget must hold the addon's options/],
  ]
  for (const [text, message] of cases) {
    const config = await readConfigFile(join(t.testdir({ "c.yaml": text }), "c.yaml"), true)
    const store = new OptionStore({ ...NO_SOURCES, config })
    const use = () => {
      store.define("budget", specs)
      store.checkNames()
    }
    t.throws(use, { name: "UsageError", message }, text)
  }
})
