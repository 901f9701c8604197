/** A command of an addon, in a process of its own: what it keeps, what it prints, its status, and its end by a signal. */
import { mkdir, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { exitsWith, startCommand } from "../helpers/command-process.ts"

const VOTES = `
import { defineAddon } from "llmproxy"
import { sql } from "kysely"
export default defineAddon({
  setup({ command, tables }) {
    const opened = tables([
      { name: "0001-votes", up: (db) => db.schema.createTable("votes").addColumn("who", "text").execute() },
    ])
    command({
      name: "vote",
      help: "vote for somebody",
      operands: "WHO",
      async run({ operands: [who], records, print }) {
        const db = await opened
        await db.insertInto("votes").values({ who }).execute()
        const { rows } = await sql\`select count(*) as n from \${sql.table("votes")} where who = \${who}\`.execute(db)
        print(\`\${who} \${rows[0].n}, \${await records("runs").increment("all")} in all\\n\`)
      },
    })
    command({
      name: "keep",
      help: "keep until a signal comes",
      async run({ signal, records, print, clock }) {
        signal.addEventListener("abort", () => records("kept").set("ended", true))
        for (let i = 0; !signal.aborted; i++) {
          await records("kept").set(String(i), i)
          print(\`\${i}\\n\`)
        }
      },
    })
    command({
      name: "kept",
      help: "what was kept",
      run: async ({ records, print }) => print(JSON.stringify(await records("kept").entries()) + "\\n"),
    })
    command({ name: "idle", help: "wait for nothing", run: ({ note }) => new Promise(() => note("waiting\\n")) })
  },
})`

test("what a command keeps is there for the next one, and a proxy that keeps it in the same file is not needed", async (t) => {
  const folder = t.testdir({ "votes.ts": VOTES })
  const run = (...args: string[]) => startCommand(t, ["-s", "votes.ts", ...args], { folder }).outcome
  for (const [who, printed] of [
    ["ann", "ann 1, 1 in all\n"],
    ["bob", "bob 1, 2 in all\n"],
    ["ann", "ann 2, 3 in all\n"],
  ] as const) {
    const outcome = await run("vote", who)
    exitsWith(t, 0, outcome)
    t.equal(outcome.stdout, printed)
    t.equal(outcome.stderr, "")
  }
  exitsWith(t, 2, await run("vote", "--to", "ann"))
  t.match(await readdir(join(folder, ".llmproxy")), ["cache", "state.db"], "no CA, and no history")
})

test("a command whose state is damaged says how to restore it, with status 1", async (t) => {
  const folder = t.testdir({ "votes.ts": VOTES })
  await mkdir(join(folder, ".llmproxy"))
  await writeFile(join(folder, ".llmproxy", "state.db"), "this is no database ".repeat(300))
  const outcome = await startCommand(t, ["-s", "votes.ts", "vote", "ann"], { folder }).outcome
  exitsWith(t, 1, outcome)
  t.match(outcome.stderr, /^llmproxy: .*state\.db is damaged .* put a copy of yours there.*\n$/)
})

test("what was kept before a kill is there, and a signal lets the command end by itself", async (t) => {
  const folder = t.testdir({ "votes.ts": VOTES })
  const start = (name: string) => startCommand(t, ["-s", "votes.ts", name], { folder })
  const kept = async () => {
    const { stdout } = await start("kept").outcome
    return new Map<string, unknown>(JSON.parse(stdout))
  }
  const killed = start("keep")
  await killed.printed(/^5\n/m, "stdout")
  killed.signal("SIGKILL")
  const { signal, stdout } = await killed.outcome
  t.equal(signal, "SIGKILL")
  const told = stdout.split("\n").slice(0, -1)
  const found = await kept()
  t.strictSame(
    told.filter((key) => !found.has(key)),
    [],
    `of ${told.length}`,
  )
  const ended = start("keep")
  await ended.printed(/^1\n/m, "stdout")
  ended.signal("SIGTERM")
  exitsWith(t, 1, await ended.outcome)
  t.equal((await kept()).get("ended"), true)
})

test("a command that waits for nothing is kept alive, and ended by a second signal", async (t) => {
  const folder = t.testdir({ "votes.ts": VOTES })
  const idle = startCommand(t, ["-s", "votes.ts", "idle"], { folder })
  await idle.printed(/waiting/)
  idle.signal("SIGINT")
  idle.signal("SIGTERM")
  exitsWith(t, 1, await idle.outcome)
})
