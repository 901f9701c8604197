/** `llmproxy database`, and everything that is kept on its way from files to a server and back. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Kysely } from "kysely"
import { type Test, test } from "tap"
import type { TableMigration } from "../../lib/api/store.ts"
import { isObject } from "../../lib/base/json.ts"
import { main } from "../../lib/cli/main.ts"
import { openHistory } from "../../lib/store/history-place.ts"
import { Reader } from "../../lib/store/reader.ts"
import { Writer } from "../../lib/store/writer.ts"
import { startCommand } from "../helpers/command-process.ts"
import { chat } from "../helpers/flow-snapshots.ts"
import { asked, NO_POSTGRES, newDatabase } from "../helpers/postgres.ts"
import { FakeWorld } from "../helpers/world.ts"
import { served } from "../store/state/served.ts"

interface Poll {
  votes: { id?: number; who: string; seal: Buffer | null }
}

const votes: TableMigration = {
  name: "0001-votes",
  async up(db) {
    await db.schema
      .createTable("votes")
      .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
      .addColumn("who", "text")
      .addColumn("seal", "blob")
      .execute()
  },
}
const VOTES = 450
const record = { kind: "record", place: { addon: "a", name: "n" } } as const

async function confdir(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-database-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function run(argv: string[], env: Record<string, string> = {}) {
  const world = new FakeWorld({ env: { NO_COLOR: "1", ...env }, cwd: tmpdir() })
  const status = await main(["database", ...argv], world)
  return { status, out: world.out.text, err: world.err.text }
}

/** What an addon keeps at a place: its table, and with `isFull` rows in it, records and flows. */
async function keep(t: Test, place: string, isFull = true): Promise<void> {
  const [file, history] = [at(place, "state.db"), at(place, "history.db")]
  const state = await served(t, { file, history })
  const db: Kysely<Poll> = await state.tables<Poll>("poll", [votes])
  if (isFull) {
    const rows = Array.from({ length: VOTES }, (_, i) => ({ who: `w${i}`, seal: Buffer.from([i % 256]) }))
    for (let from = 0; from < VOTES; from += 90)
      await db
        .insertInto("votes")
        .values(rows.slice(from, from + 90))
        .execute()
    await state.ask({ ...record, key: "whole", what: "set", json: "7" })
    await state.ask({ ...record, key: "text", what: "set", json: '"a\\u0000b"' })
    const writer = new Writer(await openHistory(history))
    await writer.store([
      chat({ messages: [{ role: "user", content: "Why\u0000 is the sky blue?" }] }),
      chat({ model: "a\u0000b" }),
    ])
    await writer.close()
  }
  await state.close()
}

function at(place: string, file: string): string {
  return place.startsWith("postgres:") ? place : join(place, file)
}

test("status says what is kept, and makes nothing", async (t) => {
  const folder = await confdir(t)
  const nothing = await run(["status", "--confdir", folder])
  t.strictSame(nothing, {
    status: 0,
    err: "",
    out: `SQLite, ${folder}\n  history: not made yet\n  state: not made yet\n`,
  })
  t.strictSame((await run(["--confdir", folder])).out, nothing.out, "and is what no action means")
  await keep(t, folder)
  const { out } = await run(["status", "--confdir", folder])
  t.match(out, /history: up to date\n +flows +2\n +turns +\d+\n +contents +\d+\n +state: up to date\n/)
  t.match(out, /addon_records +2\n +poll__votes +450\n$/)
})

test("migrate makes what is missing", async (t) => {
  const folder = await confdir(t)
  t.match((await run(["migrate", "--confdir", folder])).out, /history: up to date\n +flows +0\n/)
  t.match((await run(["status", "--confdir", folder])).out, /state: up to date\n +addon_records +0\n$/)
})

test("what is mistyped is told", async (t) => {
  t.match(await run(["status", "now"]), { status: 2, err: /database status: takes no "now"/ })
  t.match(await run(["migrate", "--replace"]), { status: 2, err: /takes no --replace/ })
  t.match(await run(["copy", "here"]), { status: 2, err: /say from where to where/ })
  t.match(await run(["copy", "here", "here"]), { status: 1, err: /both are one database/ })
  t.match(await run(["status", "--database", "mysql://a"]), { status: 2, err: /must be a URL of PostgreSQL's/ })
  t.match(await run(["move"]), { status: 2, err: /move/ })
})

test("a server that is not there is one line", async (t) => {
  const gone = "postgres://ann:hidden@127.0.0.1:1/db"
  for (const args of [["status"], ["migrate"], ["copy", gone, tmpdir()]]) {
    const { status, err } = await run(args, { LLMPROXY_DATABASE: gone })
    t.equal(status, 1)
    t.match(err, /^llmproxy: database \w+: .*ECONNREFUSED.*\n$/)
    t.notMatch(err, /hidden/)
  }
})

test("files that are no database are told of, and nothing is copied from what is not there", async (t) => {
  const [folder, other] = [await confdir(t), await confdir(t)]
  t.match(await run(["copy", folder, other]), { status: 1, err: /there is no history\.db and no state\.db/ })
  await writeFile(join(folder, "state.db"), "no database at all, and long enough to be taken for one".repeat(20))
  t.match(await run(["status", "--confdir", folder]), { status: 0, out: /state: .*state\.db is damaged/ })
})

test("from one confdir to another, and not over what is there", async (t) => {
  const [folder, other] = [await confdir(t), await confdir(t)]
  await keep(t, folder)
  const missing = await run(["copy", folder, other])
  t.match(missing, { status: 1, err: /has no table poll__votes: start llmproxy once with that addon/ })
  t.notMatch(missing.out, /copied/)
  await keep(t, other, false)
  t.match(await run(["copy", folder, other]), { status: 0, out: /poll__votes +450 rows copied/ })
  t.match(await run(["copy", folder, other]), { status: 1, err: /addon_records, poll__votes are not empty/ })
  t.match(await run(["copy", "--replace", folder, other]), { status: 0, out: /flows +2 rows copied, counted there\n/ })
})

test("from files to a server and back nothing changes", { skip: NO_POSTGRES }, async (t) => {
  const [folder, url, back] = [await confdir(t), await newDatabase(t), await confdir(t)]
  await keep(t, folder)
  for (const [from, to] of [
    [folder, url],
    [url, back],
  ] as const) {
    await keep(t, to, false)
    const { status, out, err } = await run(["copy", from, to])
    t.equal(status, 0, err)
    t.match(out, /addon_records +2 rows copied.*\npoll__votes +450 rows copied/)
  }
  const state = await served(t, { file: join(back, "state.db"), history: join(back, "history.db") })
  t.equal(await state.ask({ ...record, key: "whole", what: "get" }), "7")
  t.equal(await state.ask({ ...record, key: "text", what: "get" }), '"a\\u0000b"')
  const db = await state.tables<Poll>("poll", [votes])
  const last = await db.selectFrom("votes").selectAll().orderBy("id", "desc").limit(1).executeTakeFirstOrThrow()
  t.match(last, { id: VOTES, who: `w${VOTES - 1}` })
  t.strictSame(Buffer.from(last.seal ?? []), Buffer.from([(VOTES - 1) % 256]))
  const onServer = await served(t, { file: url, history: url })
  const there = await onServer.tables<Poll>("poll", [votes])
  await there.insertInto("votes").values({ who: "next", seal: null }).execute()
  const [next] = await asked(url, "select id::int from llmproxy_state.poll__votes where who = 'next'")
  t.strictSame(next, { id: VOTES + 1 }, "it counts on behind what was copied")
  const flows = async (place: string) => {
    const reader = await Reader.open(at(place, "history.db"))
    const all = []
    for (const flow of await reader.list({}, 10)) all.push(await reader.exchange(flow))
    await reader.close()
    return JSON.stringify(all)
  }
  const before = await flows(folder)
  t.match(before, /"model":"a\uFFFDb".*Why\\u0000 is the sky/, "both are there")
  t.equal(sorted(await flows(url)), sorted(before))
  t.equal(sorted(await flows(back)), sorted(before))
  t.match(
    (await run(["status"], { LLMPROXY_DATABASE: url })).out,
    /^PostgreSQL, postgres:.*\n +history: up to date\n +flows +2\n/,
  )
})

/** Columns may come in another order. */
function sorted(json: string): string {
  const parsed: unknown = JSON.parse(json)
  return JSON.stringify(parsed, (_, value: unknown) =>
    isObject(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value,
  )
}

test("a proxy whose server is not there does not start, and says so in one line", async (t) => {
  const gone = "postgres://ann:hidden@127.0.0.1:1/db"
  const { status, stderr } = await startCommand(t, ["-p", "0", "--database", gone], { folder: t.testdir({}) }).outcome
  t.equal(status, 1)
  t.match(
    stderr,
    /^llmproxy: postgres:\/\/ann:\*\*\*@127\.0\.0\.1:1\/db cannot be opened: connect ECONNREFUSED 127\.0\.0\.1:1\n$/,
  )
})

test("a proxy on a server keeps there what addons keep", { skip: NO_POSTGRES }, async (t) => {
  const url = await newDatabase(t)
  const addon = `export default { name: "kept", setup({ records, command }) {
    const notes = records("notes")
    command({ name: "count", help: "count", async run({ print }) { print("counted " + await notes.increment("n") + "\\n") } })
    return {}
  } }`
  const folder = t.testdir({ "kept.js": addon, "config.yaml": `database: ${url}\n` })
  for (const count of [1, 2]) {
    const { status, stdout } = await startCommand(t, ["-s", "kept.js", "count", "--config", "config.yaml"], { folder })
      .outcome
    t.strictSame([status, stdout], [0, `counted ${count}\n`])
  }
  t.strictSame(await asked(url, "select name, count::int from llmproxy_state.addon_records"), [
    { name: "notes", count: 2 },
  ])
})
