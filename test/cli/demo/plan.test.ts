/** What the demo asks, and that nothing of what it tells can be otherwise unnoticed. */
import { test } from "tap"
import { LOCAL_SCRIPT } from "../../../lib/cli/demo/host.ts"
import type { Outcome, Seen } from "../../../lib/cli/demo/messages.ts"
import { differences, largeText, type Result, steps, THRESHOLD } from "../../../lib/cli/demo/plan.ts"
import { TokenCounter } from "../../../lib/llm/tokens/counter.ts"

test("it asks small and large, streamed and not, by both doors", async (t) => {
  const asked = steps().map(({ size, host, job }) => `${job.door} ${size} ${job.stream ? "streamed" : "whole"} ${host}`)
  t.equal(new Set(asked).size, 8)
  for (const line of asked) t.match(line, / (small .* local|large .* cloud)$/)
})

test("the large request is above the threshold even if a token were counted as one", async (t) => {
  const counter = new TokenCounter()
  t.teardown(() => counter.close())
  t.ok((await counter.countText(largeText(), "gpt-4o")) > THRESHOLD)
})

const SEEN: Seen = { kind: "seen", host: "local", path: "/v1/completions", bytes: 10, sha256: "a", key: false }
const OUTCOME: Outcome = {
  kind: "outcome",
  bytes: 20,
  sha256: "b",
  model: LOCAL_SCRIPT.model,
  text: LOCAL_SCRIPT.answer,
  pieces: 7,
  finishReason: "stop",
  tokensIn: 5,
  route: "local",
  reason: "fits",
}

function differencesOf(which: "local" | "cloud", outcome: Partial<Outcome>, more: Partial<Result> = {}): string[] {
  const step = steps().find(({ host, job }) => host === which && job.stream)
  if (step === undefined) throw new Error("no such step")
  return differences(step, { outcome: { ...OUTCOME, ...outcome }, seen: [SEEN], line: "POST local: fits", ...more })
}

test("a step that went as told has no differences", async (t) => {
  t.same(differencesOf("local", {}), [])
})

test("each thing that may go wrong is a difference of its own", async (t) => {
  const wrong: [Partial<Outcome>, Partial<Result>, RegExp][] = [
    [{}, { seen: [] }, /asked 0 times/],
    [{}, { seen: [SEEN, SEEN] }, /asked 2 times/],
    [{}, { seen: [{ ...SEEN, host: "cloud" }] }, /went to the cloud, not to the local host/],
    [{ text: "other" }, {}, /the client read "other"/],
    [{ model: "gpt-4o" }, {}, /was told the model gpt-4o/],
    [{ finishReason: "" }, {}, /ended with no finish reason/],
    [{ route: "" }, {}, /x-llmproxy-route says nothing/],
    [{ reason: "" }, {}, /x-llmproxy-reason says nothing/],
    [{ tokensIn: undefined }, {}, /no usage/],
    [{ pieces: 1 }, {}, /one piece/],
    [{}, { line: "POST" }, /does not name the route: POST/],
    [{}, { seen: [{ ...SEEN, key: true }] }, /the key reached the local host/],
  ]
  for (const [outcome, more, expected] of wrong) t.match(differencesOf("local", outcome, more).join("\n"), expected)
})

test("the cloud has to get the client's bytes and its key", async (t) => {
  const cloud: Partial<Outcome> = { route: "cloud", model: "gpt-4o", sha256: "a" }
  const found = differencesOf("cloud", { ...cloud, sha256: "c" }, { seen: [{ ...SEEN, host: "cloud" }], line: "cloud" })
  t.match(found.join("\n"), /got no key\n.*other bytes than the client sent/)
})
