/** Flows of the history as a person reads them. What the command does around it is in ../history.test.ts. */
import { test } from "tap"
import { flowText, listLine, statsText } from "../../../lib/cli/history/text.ts"
import { PLAIN } from "../../../lib/cli/terminal/paint.ts"
import type { ListedFlow, UsageSum } from "../../../lib/store/reader.ts"

const BARE: ListedFlow = {
  id: "0198c1a0-0000-7000-8000-00000000abcd",
  parent_id: null,
  started_at: new Date(2026, 0, 2, 3, 4, 5).getTime(),
  client_id: "client",
  method: "GET",
  url: "http://host.test/x",
  host: "host.test",
  status: null,
  dialect: null,
  model: null,
  answered_model: null,
  streamed: null,
  finish_reason: null,
  finish_raw: null,
  error_source: null,
  error_code: null,
  error_message: null,
  llm_error_kind: null,
  llm_error_code: null,
  llm_error_message: null,
  route: null,
  route_reason: null,
  route_url: null,
  route_tokens: null,
  input_tokens: null,
  output_tokens: null,
  total_tokens: null,
  cached_tokens: null,
  reasoning_tokens: null,
  usage_source: null,
  request_ms: null,
  response_head_ms: null,
  first_delta_ms: null,
  end_ms: null,
  request_bytes: 0,
  response_bytes: 0,
  incomplete: 0,
  metadata: null,
  conversation: null,
  parameters: null,
  tools: null,
  answer: null,
  more_answers: null,
  request_headers: null,
  response_headers: null,
  excerpt: null,
}

/** The line without its time and id. */
function line(flow: Partial<ListedFlow>): string {
  const text = listLine({ ...BARE, ...flow }, PLAIN)
  return text.slice(text.indexOf("GET") < 0 ? 0 : text.indexOf("GET")).trimEnd()
}

/** The facts of a flow, by their name. */
function facts(flow: Partial<ListedFlow>): Record<string, string> {
  const text = flowText({ flow: { ...BARE, ...flow }, messages: [], answer: undefined, tools: undefined }, [], PLAIN)
  return Object.fromEntries(
    text
      .trimEnd()
      .split("\n")
      .map((row) => row.split(/ {2,}/, 2) as [string, string]),
  )
}

test("a line says what is known of a flow, and nothing else", async (t) => {
  t.match(listLine(BARE, PLAIN), /^2026-01-02 03:04:05 {2}\S+ {2}GET host\.test\n$/)
  t.equal(line({ status: 200, end_ms: 1_234 }), "GET host.test  200  1.2 s")
  t.equal(line({ status: 404, route: "local" }), "GET host.test  → local  404")
  t.equal(line({ error_code: "client-gone" }), "GET host.test  client-gone")
  t.equal(line({ status: 200, llm_error_kind: "overloaded" }), "GET host.test  200 overloaded")
  t.equal(line({ status: 200, input_tokens: 3, usage_source: "provider" }), "GET host.test  200  in 3 out ?")
  t.equal(line({ status: 200, output_tokens: 4, usage_source: "counted" }), "GET host.test  200  in ~? out ~4")
})

test("a model is named with the one that answered, where that is another", async (t) => {
  t.match(listLine({ ...BARE, model: "a" }, PLAIN), / {2}a\n$/)
  t.match(listLine({ ...BARE, model: "a", answered_model: "a" }, PLAIN), / {2}a\n$/)
  t.match(listLine({ ...BARE, model: "a", answered_model: "b" }, PLAIN), / {2}a \(b\)\n$/)
})

test("a line ends with the first words of the last message, also of one that was cut in its JSON", async (t) => {
  t.match(line({ excerpt: '{"role":"user","content":"hello"}' }), / {2}hello$/)
  t.match(line({ excerpt: '{"role":"user","content":"hello \\"you\\" and mo' }), / {2}hello "you" and mo$/)
  t.match(line({ excerpt: '{"role":"user","content":[{"type":"text","text":"in a part' }), / {2}in a part$/)
  t.equal(line({ excerpt: '{"role":"user","content":""}' }), "GET host.test")
  t.equal(line({ excerpt: '{"role":"us' }), "GET host.test")
  t.match(line({ excerpt: JSON.stringify({ content: "x".repeat(60) }) }), / {2}x{60}$/)
  t.match(line({ excerpt: JSON.stringify({ content: "x".repeat(61) }) }), / {2}x{60}…$/)
})

test("a flow's facts are those that it has", async (t) => {
  t.strictSame(Object.keys(facts({})), ["id", "began", "client", "request"])
  const whole = facts({
    status: 502,
    model: "m",
    route: "cloud",
    route_reason: "too long",
    input_tokens: 3,
    output_tokens: 4,
    cached_tokens: 1,
    reasoning_tokens: 2,
    usage_source: "provider",
    response_head_ms: 10.4,
    first_delta_ms: 11.6,
    end_ms: 12,
    finish_reason: "cut",
    error_source: "upstream",
    error_code: "cut",
    error_message: "gone",
    metadata: '{"a":1}',
    parent_id: "p",
    incomplete: 1,
  })
  t.match(whole, {
    status: "502",
    model: "m",
    route: "cloud: too long",
    tokens: "in 3 out 4, cached 1, reasoning 2, as the host says",
    times: "head 10 ms, first token 12 ms, all 12 ms",
    finish: "cut",
    error: "upstream cut: gone",
    notes: '{"a":1}',
    parent: "p",
    contents: "too large, not kept",
  })
  t.equal(facts({ usage_source: "counted", input_tokens: 3, output_tokens: 4 }).tokens, "in ~3 out ~4, counted here")
  t.equal(facts({ usage_source: "none" }).tokens, "nobody counted")
  t.equal(facts({ llm_error_kind: "overloaded", llm_error_message: "later" }).error, "overloaded: later")
  t.equal(facts({ route: "local" }).route, "local")
})

test("attempts and what was said come behind the facts", async (t) => {
  const attempt = { ...BARE, status: 503, error_source: "upstream", error_code: "refused", error_message: "no" }
  const messages = [{ role: "user", content: "hi" }, { content: "who" }]
  const answer = { role: "assistant", reasoning_content: "hm", content: "hello" }
  const text = flowText({ flow: BARE, messages, answer, tools: undefined }, [attempt, BARE], PLAIN)
  t.match(text, "\nattempts\n")
  t.match(text, /http:\/\/host\.test\/x {2}503 refused {2}upstream refused: no\n/)
  t.match(text, /\nuser\n {2}hi\n/)
  t.match(text, /\n\?\n {2}who\n/, "a message without a role")
  t.match(text, /\nassistant\n {2}hm\n {2}hello\n/)
})

const SUM: UsageSum = {
  model: "m",
  route: "cloud",
  requests: 2,
  failed: 0,
  inputTokens: 1_000,
  outputTokens: 200,
  cachedTokens: 0,
  reasoningTokens: 0,
  counted: 0,
}

test("sums say how much stayed local, and what was counted here", async (t) => {
  t.equal(statsText({ sums: [], attempts: 0 }, PLAIN), "no flows\n")
  const cloud = statsText({ sums: [SUM], attempts: 0 }, PLAIN)
  t.match(cloud, "2 requests, 1,200 tokens\nkept local: 0 tokens (0 %)\n")
  t.notMatch(cloud, "attempts besides")
  t.notMatch(cloud, "~")
  const both = statsText({ sums: [SUM, { ...SUM, route: "local", counted: 1 }], attempts: 3 }, PLAIN)
  t.match(both, "4 requests, ~2,400 tokens\nkept local: ~1,200 tokens (50 %)\nattempts besides: 3\n~: where")
  const none = statsText({ sums: [{ ...SUM, inputTokens: 0, outputTokens: 0 }], attempts: 0 }, PLAIN)
  t.match(none, "0 tokens\nkept local: 0 tokens (0 %)")
})
