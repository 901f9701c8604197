/** `llmproxy keys`, as somebody types it. */
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { main } from "../../../lib/cli/main.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { FakeWorld } from "../../helpers/world.ts"
import { CHAT, chatBody, startKeys } from "./rig.ts"

const KEY = /^llmproxy-[a-z2-7]{32}\n$/

function world(home: string) {
  const clock = new ManualClock(Date.UTC(2026, 10, 30))
  return async (...argv: string[]) => {
    const one = new FakeWorld({ home, cwd: home, clock })
    const status = await main(["keys", ...argv], one)
    return { status, out: one.out.text, err: one.err.text }
  }
}

test("keys are made, listed, renewed and revoked, and what was made opens a running llmproxy", async (t) => {
  const home = t.testdir()
  const run = world(home)
  t.match(await run("list"), { status: 0, out: "there are no keys\n" })
  const made = await run(
    "create",
    "--label",
    "Ann's",
    "--owner",
    "ann",
    "--team",
    "sales",
    "--tags",
    "a,b",
    "--requests",
    "2/minute,50/day",
    "--money",
    "2.50/day",
    "--parallel",
    "3",
    "--models",
    "gpt-*",
    "--expires",
    "30d",
  )
  t.match(made.out, KEY)
  t.match(made.err, /k_[a-z2-7]{8} \(Ann's\) was made\. Its key is shown this once:/)
  const other = await run("create", "--admin")
  const listed = await run("list")
  t.match(
    listed.out,
    /Ann's {2}valid {2}owner ann {2}team sales {2}tags a b {2}2 requests\/minute, 50 requests\/day, \$2\.5\/day, 3 at a time {2}0 requests and 0 tokens today {2}last used never\n/,
  )
  t.match(listed.out, /unnamed {2}admin /)
  t.notMatch(listed.out, made.out.trim())
  const json = JSON.parse((await run("list", "--json")).out)
  const anns = json.find(({ label }: { label: string }) => label === "Ann's")
  t.match(anns, {
    label: "Ann's",
    scopes: { models: ["gpt-*"] },
    expires: "2026-12-30T00:00:00.000Z",
    state: "valid",
  })
  const store = await readFile(join(home, ".llmproxy", "state.db"), "latin1")
  t.notMatch(store, made.out.trim().slice(9), "no key is kept")

  const clock = new ManualClock(Date.UTC(2026, 10, 30))
  const { addon } = await startKeys(t, {}, { confdir: join(home, ".llmproxy"), clock })
  const ask = async (key: string, body = {}) =>
    (
      await addon.request({
        url: CHAT,
        headers: { "x-api-key": key.trim() },
        json: chatBody({ max_tokens: 5, ...body }),
      })
    ).status
  t.equal(await ask(made.out), 200)
  t.equal(await ask(other.out, { model: "o3" }), 200)
  const renewed = await run("rotate", "Ann's")
  t.match(renewed.out, KEY)
  clock.advance(1_000)
  t.same([await ask(made.out), await ask(renewed.out)], [401, 200])
  t.match(await run("revoke", "Ann's"), { status: 0, err: /\(Ann's\) opens nothing any more/ })
  clock.advance(1_000)
  t.equal(await ask(renewed.out), 401)
  t.match((await run("list")).out, /Ann's {2}revoked/)
})

test("Local-LLM-API's file of keys is imported, without its weak ones, and none twice", async (t) => {
  const home = t.testdir()
  const run = world(home)
  const [master, one] = ["m".repeat(20), "abcdefghij0123456789"]
  await writeFile(join(home, "api_keys.json"), JSON.stringify({ 0: master, 1: one, 2: "short", 3: 4 }))
  const file = join(home, "api_keys.json")
  const first = await run("import", file)
  t.match(first, { status: 0, out: "2 keys imported, 1 left out\n", err: /key 2 has fewer than 16 characters/ })
  t.match((await run("import", file)).out, "0 keys imported, 3 left out\n")
  t.match((await run("list")).out, /imported 0 {2}admin/)
  const clock = new ManualClock(Date.UTC(2026, 10, 30))
  const { addon } = await startKeys(t, {}, { confdir: join(home, ".llmproxy"), clock })
  t.same((await addon.request({ url: "/auth", headers: { Authorization: one } })).json(), { auth: true })
  t.match((await addon.request({ url: "/auth/key", method: "POST", headers: { Authorization: master } })).json(), {
    key: String,
  })
})

test("what is wrong with a line is said, and nothing of a key is shown", async (t) => {
  const home = t.testdir()
  const run = world(home)
  const [list, none] = [join(home, "list.json"), join(home, "none.json")]
  await writeFile(list, "[1]")
  await writeFile(join(home, "bad.json"), "{")
  await writeFile(join(home, "empty.json"), "{}")
  for (const [argv, message] of [
    [[], /write keys create, list, revoke KEY/],
    [["make"], /write keys create, list/],
    [["revoke"], /write keys create, list/],
    [["revoke", "nobody"], /no key has the id or the label nobody/],
    [["create", "--requests", "many"], /--requests many: write a number and a span, as in 100\/day/],
    [["create", "--requests", "1.5/day"], /--requests 1.5\/day: write a number/],
    [["create", "--money", "5/year"], /--money 5\/year: write a number and a span, as in 2.50\/day/],
    [["create", "--expires", "soon"], /--expires soon: write a day/],
    [["create", "--expires", "2020-01-01"], /--expires 2020-01-01: that day is over/],
    [["import", none], /none\.json: ENOENT/],
    [["import", list], /it is no object of keys by number/],
    [["import", join(home, "bad.json")], /it is no JSON/],
    [["import", join(home, "empty.json")], /no key is in it/],
  ] as const) {
    const { status, err } = await run(...argv)
    t.equal(status, 2, argv.join(" "))
    t.match(err, message)
  }
  await run("create", "--label", "two")
  await run("create", "--label", "two")
  t.match((await run("rotate", "two")).err, /2 keys are labelled two; name one by its id/)
})
