/** A state.db that another program holds is waited for, by a process in which nothing else is open yet. */
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Test, test } from "tap"
import { findSqlite } from "../../lib/store/sqlite.ts"
import { startCommand } from "../helpers/command-process.ts"

const ADDON = `export default { name: "kept", setup({ records, command }) {
  const notes = records("notes")
  command({ name: "count", help: "count", async run({ print }) { print("counted " + await notes.increment("n") + "\\n") } })
  return {}
} }`

/** A folder with the addon, whose state.db is locked as long as the test runs. */
async function lockedFolder(t: Test): Promise<string> {
  const folder = t.testdir({ "kept.js": ADDON })
  await mkdir(join(folder, ".llmproxy"), { mode: 0o700 })
  await writeFile(join(folder, ".llmproxy", "state.db"), "")
  const Database = findSqlite()
  const connection = new Database(join(folder, ".llmproxy", "state.db"))
  connection.exec("begin exclusive")
  t.teardown(() => connection.close())
  return folder
}

test("whoever needs a state.db that stays locked is told so", async (t) => {
  const folder = await lockedFolder(t)
  for (const args of [["count"], ["-p", "0"]]) {
    const { status, stderr } = await startCommand(t, ["-s", "kept.js", ...args], { folder }).outcome
    t.equal(status, 1, args.join(" "))
    t.match(stderr, /state\.db cannot be opened: database is locked/, args.join(" "))
  }
})
