/** What an addon keeps, through the running program: an addon's file, requests, restarts. */
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { folderWith, started } from "./started.ts"

const COUNTER = `
import { defineAddon } from "llmproxy"
export default defineAddon({
  setup({ records }) {
    const notes = records("notes")
    return {
      async requestHeaders(flow) {
        const count = await notes.increment("requests")
        const paths = await notes.update("paths", (paths = []) => [...paths, flow.request.path])
        flow.respond({ status: 200, text: JSON.stringify({ count, paths }) })
      },
    }
  },
})`

test("records are kept over restarts of the program", async (t) => {
  const folder = await folderWith(t, { "counter.ts": COUNTER })
  const first = await started(t, folder, "counter.ts")
  t.strictSame(await first.get("/a"), { count: 1, paths: ["/a"] })
  t.strictSame(await first.get("/b"), { count: 2, paths: ["/a", "/b"] })
  await first.app.stop()
  const second = await started(t, folder, "counter.ts")
  t.strictSame(await second.get("/c"), { count: 3, paths: ["/a", "/b", "/c"] })
})

const POLL = `
import { defineAddon } from "llmproxy"
import { type Generated, sql } from "kysely"
interface Tables { votes: { id: Generated<number>; path: string } }
export const MIGRATIONS = [
  { name: "0001-votes", up: (db) => db.schema.createTable("votes")
      .addColumn("id", "integer", (column) => column.primaryKey()).addColumn("path", "text").execute() },
  { name: "0002-first", up: (db) => sql\`insert into \${sql.table("votes")} (path) values ('first')\`.execute(db) },
]
export default defineAddon({
  name: "my-poll",
  setup({ tables }) {
    const opened = tables<Tables>(MIGRATIONS)
    return {
      async requestHeaders(flow) {
        const db = await opened
        const votes = await db.transaction().execute(async (transaction) => {
          await transaction.insertInto("votes").values({ path: flow.request.path }).execute()
          return await transaction.selectFrom("votes").select(["votes.id", "path"]).orderBy("id").execute()
        })
        flow.respond({ status: 200, text: JSON.stringify(votes) })
      },
    }
  },
})`

test("tables are an addon's own, migrated before it takes part, and kept over restarts", async (t) => {
  const folder = await folderWith(t, { "poll.ts": POLL, "counter.ts": COUNTER.replace("requestHeaders", "request") })
  const first = await started(t, folder, "poll.ts")
  const votes = [
    { id: 1, path: "first" },
    { id: 2, path: "/a" },
  ]
  t.strictSame(await first.get("/a"), votes)
  await first.app.stop()
  const second = await started(t, folder, "poll.ts")
  t.strictSame(await second.get("/b"), [...votes, { id: 3, path: "/b" }])
})

test("a migration that fails stops the start, with the file, the addon and the reason", async (t) => {
  const broken = POLL.replace("insert into", "insert unto")
  const folder = await folderWith(t, { "poll.ts": broken })
  await t.rejects(started(t, folder, "poll.ts"), {
    name: "UsageError",
    message: /poll\.ts: addon "my-poll": tables: migration "0002-first" failed and is taken back: near "unto"/,
  })
})

test("a reload whose migration fails leaves the version that runs, and its tables", async (t) => {
  const folder = await folderWith(t, { "poll.ts": POLL })
  const { app, get, lines } = await started(t, folder, "poll.ts")
  const third = `{ name: "0003-third", up: (db) => db.schema.dropTable("nothing").execute() },\n]\nexport default`
  await writeFile(join(folder, "poll.ts"), POLL.replace("]\nexport default", third))
  t.match(await app.addons.reload(), [
    { outcome: "failed", message: /migration "0003-third" failed and is taken back/ },
  ])
  t.match(lines, [/^error addon "my-poll" was not reloaded and runs on as it was: .*no such table: my_poll__nothing/])
  t.match(await get("/a"), [{ path: "first" }, { path: "/a" }])
})

test("a damaged state stops the start of a program whose addons keep something, and of no other", async (t) => {
  const quiet = "export function request() {}"
  const folder = await folderWith(t, { "counter.ts": COUNTER, "poll.ts": POLL, "quiet.ts": quiet })
  await mkdir(join(folder, "conf"))
  await writeFile(join(folder, "conf", "state.db"), "this is no database ".repeat(300))
  for (const script of ["counter.ts", "poll.ts"])
    await t.rejects(started(t, folder, script), {
      name: "StartError",
      message: /conf\/state\.db is damaged .* put a copy of yours there/,
    })
  await started(t, folder, "quiet.ts")
})
