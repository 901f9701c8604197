/** `llmproxy history stats --by`: whose flows they were, and what they cost by the table of their day. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Test, test } from "tap"
import type { FlowSnapshot, JsonObject } from "../../../lib/api/flow.ts"
import { main } from "../../../lib/cli/main.ts"
import { openHistory } from "../../../lib/store/history-place.ts"
import { Writer } from "../../../lib/store/writer.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { chat, START } from "../../helpers/flow-snapshots.ts"
import { FakeWorld } from "../../helpers/world.ts"

const HOUR_MS = 3_600_000
let hours = 0

function by(user: string | undefined, claims: JsonObject | undefined, route?: string): FlowSnapshot {
  hours += 1
  const flow = chat({ start: START + hours * HOUR_MS, ...(route === undefined ? {} : { route }) })
  return { ...flow, client: { ...flow.client, user, label: user === undefined ? undefined : `${user}'s`, claims } }
}

async function statsOf(t: Test, flows: readonly FlowSnapshot[]) {
  const home = await mkdtemp(join(tmpdir(), "llmproxy-by-"))
  t.teardown(() => rm(home, { recursive: true, force: true }))
  const writer = new Writer(await openHistory(join(home, ".llmproxy", "history.db")))
  await writer.store(flows)
  await writer.close()
  const run = async (args: string) => {
    const world = new FakeWorld({
      home,
      cwd: home,
      clock: new ManualClock(START + 100 * HOUR_MS),
      env: { NO_COLOR: "1" },
    })
    const status = await main(["history", "stats", ...args.split(" ")], world)
    return { status, out: world.out.text, err: world.err.text }
  }
  return { home, run }
}

const ANN = { key: "k_aaaa2222", team: "sales", tags: ["mobile", "pilot"] }
const BOB = { key: "k_bbbb2222", team: "sales", tags: ["mobile"] }

test("sums are by team, tag and key, with what they cost and which table says so", async (t) => {
  const { run } = await statsOf(t, [by("ann", ANN), by("ann", ANN), by("bob", BOB), by(undefined, undefined)])
  const teams = (await run("--by team")).out
  t.match(teams, /^team +requests +failed +in +out +cost\n/)
  // 10 tokens at $2.50 and 5 at $10 for a million: 75 micro-dollars each.
  t.match(teams, /\nsales +3 +0 +30 +15 +\$0\.0002\n/)
  t.match(teams, /\n- +1 +0 +10 +5 +\$0\.0001\n/)
  t.match(teams, /\n\nprices: genai-prices 0\.1\.8 of 2026-09-23\n$/)
  const both = (await run("--by team,tag")).out
  t.match(both, /\nsales +mobile +3 /)
  t.match(both, /\nsales +pilot +2 /)
  const keys = (await run("--by key,user")).out
  t.match(keys, /\nann's \(k_aaaa2222\) +ann +2 /, "the key's public id is kept, and shown")
  t.match(keys, /\nbob's \(k_bbbb2222\) +bob +1 /)
  t.match((await run("--by model,route")).out, /\ngpt-4o-2024-08-06 +direct +4 /)
  t.equal((await run("--by team --since 1m")).out, "no flows\n")
})

test("a file's prices count before, and what has none is said", async (t) => {
  const { home, run } = await statsOf(t, [by("ann", ANN), by("bob", BOB)])
  await writeFile(
    join(home, "prices.json"),
    JSON.stringify({ date: "2026-01-01", models: [{ model: "gpt-4o*", input: 1_000, output: 1_000 }] }),
  )
  const { out } = await run("--by user --prices prices.json")
  t.match(out, /\nann +1 +0 +10 +5 +\$0\.0150\n/)
  t.match(out, /prices: .*prices\.json of 2026-01-01\n/)
  const flow = by("eve", {})
  const unknown = { ...flow, request: { ...flow.request, url: "http://127.0.0.1:1234/v1/chat/completions" } }
  const other = await statsOf(t, [unknown])
  const local = (await other.run("--by user")).out
  t.match(local, /\neve +1 +0 +10 +5 +\?\n/)
  t.match(local, /\+\?: and requests whose price is not known/)
})

test("a name that is none is refused with those that there are", async (t) => {
  const { run } = await statsOf(t, [by("ann", ANN)])
  const { status, err } = await run("--by teem")
  t.equal(status, 2)
  t.match(err, /--by teem: write some of team, tag, key, user, model, route; did you mean "team"/)
})

test("what failed, what has no tokens, and what costs dollars is summed as it is", async (t) => {
  const usage = {
    inputTokens: 2_000_000,
    outputTokens: 0,
    totalTokens: 2_000_000,
    cachedTokens: 5,
    reasoningTokens: 0,
    source: "provider",
  } as const
  const costly = chat({ start: START + ++hours * HOUR_MS, usage })
  const base = () => by("ann", { key: "", label: 5, tags: [1, "a", "a"] })
  const failed: FlowSnapshot[] = [
    { ...base(), response: { status: 500, headers: [], body: undefined, truncated: false } },
    { ...base(), response: undefined },
    { ...base(), error: { source: "upstream", code: "cut", message: "cut" } },
  ]
  const llm = costly.llm
  const unanswered: FlowSnapshot = { ...base(), llm: llm && { ...llm, completion: undefined } }
  const routed: FlowSnapshot = {
    ...base(),
    routed: { name: "second", reason: "", tokens: undefined, url: "https://api.openai.com/v1/chat/completions" },
  }
  const other: FlowSnapshot = { ...base(), llm: undefined }
  const { run } = await statsOf(t, [costly, ...failed, unanswered, routed, other])
  const users = (await run("--by user")).out
  t.match(users, /\n127\.0\.0\.1 +1 +0 +2,000,000 +0 +\$5\.00\n/)
  t.match(users, /\nann +5 +3 /)
  t.match((await run("--by tag,route")).out, /\na +second +1 /)
  t.match((await run("--by key")).out, /\n- +1 /)
})
