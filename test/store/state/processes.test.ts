/** What is kept when the process is killed, and when two programs keep it in one file. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { test } from "tap"
import { openSqlite, singleValue } from "../../../lib/store/sqlite.ts"
import { bundledOnce } from "../../helpers/bundled.ts"
import { placeFor } from "./served.ts"

const script = bundledOnce("test/fixtures/store/keep-forever.ts")

async function keep(file: string, ...args: string[]) {
  const argv = [fileURLToPath(await script), dirname(file), ...args]
  return spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] })
}

test("what was reported kept is there after the process was killed, at any moment", async (t) => {
  const { file } = await placeFor(t)
  const reported = new Set<string>()
  for (const enough of [1, 10, 33]) {
    const child = await keep(file, "write")
    let text = ""
    let count = 0
    for await (const piece of child.stdout.setEncoding("utf8")) {
      text += piece
      const lines = text.split("\n")
      text = lines.pop() ?? ""
      for (const key of lines) reported.add(key)
      count += lines.length
      if (count >= enough) child.kill("SIGKILL")
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit")
    t.equal(child.signalCode, "SIGKILL")
    const { connection, close } = openSqlite(file)
    try {
      t.equal(singleValue(connection, "pragma integrity_check"), "ok")
      const all = "select key from addon_records union all select who as key from keeper__rows"
      const kept = new Set(
        connection
          .prepare(all)
          .all()
          .map((row) => String((row as { key: unknown }).key)),
      )
      t.strictSame(
        [...reported].filter((key) => !kept.has(key)),
        [],
        `of ${reported.size}`,
      )
    } finally {
      close()
    }
  }
})

test("two programs that start at once on one file count, update and add rows without losing one", async (t) => {
  const TIMES = 60
  const { file } = await placeFor(t)
  const children = await Promise.all([keep(file, "one", String(TIMES)), keep(file, "two", String(TIMES))])
  const ends = children.map((child) => once(child, "exit"))
  for (const [status] of await Promise.all(ends)) t.equal(status, 0)
  const { connection, close } = openSqlite(file, { readOnly: true })
  t.teardown(close)
  const countOf = (key: string) => singleValue(connection, `select count from addon_records where key = '${key}'`)
  t.equal(countOf("counted"), 2 * TIMES)
  t.equal(countOf("updated"), 2 * TIMES)
  t.equal(singleValue(connection, "select max(id) from keeper__rows"), 2 * TIMES, "each on what the other has added")
  t.equal(singleValue(connection, "select count(*) from addon_migrations"), 1, "migrated once")
})
