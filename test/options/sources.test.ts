import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { parseSet, readEnvFile } from "../../lib/options/sources.ts"

test("a .env file gives its variables, quotes and comments understood", (t) => {
  const path = join(t.testdir({ ".env": "# keys\nOPENAI_API_KEY='sk-1'\nexport MAX_TOKEN_COUNT=10 # note\n" }), ".env")
  t.same(readEnvFile(path, false), { path, values: { OPENAI_API_KEY: "sk-1", MAX_TOKEN_COUNT: "10" } })
  t.end()
})

test("a missing .env file is an error only when it was named", (t) => {
  const folder = t.testdir({})
  t.equal(readEnvFile(join(folder, ".env"), false), undefined)
  t.throws(() => readEnvFile(join(folder, ".env"), true), { name: "UsageError", message: /^--dotenv .*ENOENT/ })
  t.throws(
    () => readEnvFile(folder, false),
    { name: "UsageError", message: /EISDIR/ },
    "one that cannot be read always is",
  )
  writeFileSync(join(folder, "x"), "")
  t.same(readEnvFile(join(folder, "x"), true)?.values, {})
  t.end()
})

test("--set is split at the first equals sign", (t) => {
  t.same(parseSet("a.b=c=d"), { name: "a.b", value: "c=d" })
  t.same(parseSet(" a.b "), { name: "a.b", value: undefined })
  t.same(parseSet("a.b="), { name: "a.b", value: "" })
  t.end()
})
