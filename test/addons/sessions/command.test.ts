/** `llmproxy sessions`, as somebody types it. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { readOldSessions } from "../../../addons/sessions/old-file.ts"
import { main } from "../../../lib/cli/main.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { FakeWorld } from "../../helpers/world.ts"

const OLD = {
  Active: 1,
  1: {
    name: "Hello, who are you? And what ar...",
    history: ["Human: Hello", "AI: Hi.", "Human: AI: or not?", "AI: Not."],
  },
  2: { name: "", history: ["Only this", "An answer"] },
  3: { name: "Nothing...", history: [] },
}

function world(home: string) {
  return async (...argv: string[]) => {
    const one = new FakeWorld({ home, cwd: home, clock: new ManualClock(Date.UTC(2026, 10, 30)) })
    const status = await main(["sessions", ...argv], one)
    return { status, out: one.out.text, err: one.err.text }
  }
}

test("Local-LLM-API's sessions are imported once, listed, shown and deleted", async (t) => {
  const home = t.testdir()
  const file = join(home, "sessions.json")
  await writeFile(file, JSON.stringify(OLD))
  const run = world(home)
  const first = await run("import", file)
  t.match(first, {
    status: 0,
    out: "2 sessions imported for master, 1 left out\n",
    err: /session 3 is left out: nothing was said/,
  })
  t.match(await run("import", file), { status: 1, out: "0 sessions imported for master, 3 left out\n" })
  t.match(await run("import", file, "--owner", "ann"), { status: 0, out: /^2 sessions imported for ann/ })
  const listed = await run("list")
  t.match(
    listed.out,
    /^1 {2}Hello, who are you\? And what ar\.\.\. {2}4 messages {2}2026-11-30T00:00:00\.000Z\n2 {2}Only this\.\.\. /,
  )
  t.match(JSON.parse((await run("list", "--json")).out), [{ id: "1", length: 4 }, { id: "2" }])
  t.equal((await run("show", "1")).out, "user: Hello\nassistant: Hi.\nuser: AI: or not?\nassistant: Not.\n")
  t.match(JSON.parse((await run("show", "2", "--json")).out), [
    { role: "user" },
    { role: "assistant", content: "An answer" },
  ])
  t.match(await run("delete", "1", "9"), { status: 1, err: /session 1 is gone\nmaster has no session 9/ })
  t.match(await run("show", "1"), { status: 2, err: /master has no session 1/ })
  t.match(await run("list", "--owner", "bob"), { status: 0, err: /bob has no sessions; --owner may be ann, master/ })
  t.match(await run("erase"), { status: 2, err: /write sessions list, show ID, delete ID or import FILE/ })
  await writeFile(file, "{")
  t.match(await run("import", file), { status: 2, err: /sessions import .*: it is no JSON/ })
})

test("what is no file of sessions is told", async (t) => {
  for (const [text, message] of [
    ["[]", /no object of sessions by id/],
    ['{"1": 2}', /the session 1 is no object/],
    ['{"1": {"history": 2}}', /its history is no list/],
    ['{"1": {"history": [2]}}', /something that is no text/],
    ['{"": {"history": []}}', /its id must be an integer, or a text/],
  ] as const)
    t.throws(() => readOldSessions(text), { message }, text)
  t.same(readOldSessions('\uFEFF{"1": {"history": ["System: S", "Human: {x}"]}}'), [
    {
      id: "1",
      name: "",
      messages: [
        { role: "system", content: "S" },
        { role: "user", content: "{x}" },
      ],
    },
  ])
})
