/** `GET /metrics`, by a real scrape. */
import { type Test, test } from "tap"
import history from "../../addons/history.ts"
import { exposition } from "../../addons/metrics/exposition.ts"
import metrics from "../../addons/metrics.ts"
import { defineAddon } from "../../lib/index.ts"
import { type LoadAddonOptions, loadAddon } from "../../lib/testing/index.ts"

async function world(t: Test, options: LoadAddonOptions = {}) {
  const addon = await loadAddon(metrics, options)
  t.teardown(() => addon.close())
  const scraped = async () => {
    const { text, headers } = await addon.request({ url: "/metrics" })
    t.equal(headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8")
    return text
  }
  return { addon, scraped }
}

const LABELS = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'

test("requests, times, tokens and cost of what passed are there, in names that Prometheus takes", async (t) => {
  const { addon, scraped } = await world(t)
  const usage = { inputTokens: 1_000_000, outputTokens: 100, cachedTokens: 10, reasoningTokens: 7 }
  addon.answer({ completion: { text: "Hello", usage } })
  await addon.chat("Hi", { model: "gpt-4o" })
  addon.answer({ status: 429, error: { code: "rate_limit_exceeded", message: "slow down" } })
  await addon.chat("Hi", { model: "gpt-4o" })
  const text = await scraped()
  for (const line of [
    'llmproxy_requests_total{method="POST",status="200",route="direct"} 1',
    'llmproxy_requests_total{method="POST",status="429",route="direct"} 1',
    `gen_ai_client_inference_usage_input_tokens_total{${LABELS}} 1000000`,
    `gen_ai_client_inference_usage_output_tokens_total{${LABELS}} 100`,
    `gen_ai_client_inference_usage_cache_read_input_tokens_total{${LABELS}} 10`,
    `gen_ai_client_inference_usage_reasoning_output_tokens_total{${LABELS}} 7`,
    `gen_ai_client_inference_duration_seconds_count{${LABELS},error_type=""} 1`,
    `gen_ai_client_inference_duration_seconds_count{${LABELS},error_type="rate_limit"} 1`,
    `gen_ai_client_inference_duration_seconds_bucket{${LABELS},error_type="",le="0.01"} 1`,
    `gen_ai_client_inference_duration_seconds_bucket{${LABELS},error_type="",le="81.92"} 1`,
    `gen_ai_client_inference_duration_seconds_bucket{${LABELS},error_type="",le="+Inf"} 1`,
    "llmproxy_client_connections 1",
    "llmproxy_upstream_waiting 0",
  ])
    t.ok(text.split("\n").includes(line), line)
  t.match(text, /^llmproxy_cost_dollars_total\{.*\} 2\.\d+$/m)
  t.match(text, /^process_cpu_seconds_total \d/m, "and the process's own")
  t.match(text, /^# TYPE gen_ai_client_inference_duration_seconds histogram$/m)
  const names = text.matchAll(/^[^{ #\n]+/gm)
  for (const [name] of names) t.match(name, /^[a-z_][a-z0-9_]*$/i)
})

test("of a stream the first piece and those after it are timed, of another answer neither", async (t) => {
  const { addon, scraped } = await world(t)
  addon.deltas(["One", " two", " three"])
  await addon.chat("Count", { model: "gpt-4o", stream: true })
  addon.answer("whole")
  await addon.chat("Count", { model: "gpt-4o" })
  const text = await scraped()
  t.match(text, `gen_ai_client_inference_time_to_first_chunk_seconds_count{${LABELS}} 1`)
  const pieces = /time_per_output_chunk_seconds_count\{[^}]*\} (\d+)/.exec(text)?.[1]
  t.ok(Number(pieces) >= 2)
})

test("what addons sent for a client is an attempt, a model without a price is said to have none", async (t) => {
  const again = defineAddon({
    name: "again",
    async llmRequest(flow) {
      const answer = await flow.send(
        { json: flow.llm.request.body },
        { url: "https://second.test/v1/chat/completions" },
      )
      flow.respond(answer)
    },
  })
  const { addon, scraped } = await world(t, { others: [again] })
  addon.answer({ completion: { text: "Hello", usage: { inputTokens: 1, outputTokens: 1 } } })
  await addon.chat("Hi", { model: "nobody-sells-this" })
  const text = await scraped()
  t.match(text, 'llmproxy_attempts_total{addon="other",error_type=""} 1')
  t.match(text, /^llmproxy_unpriced_answers_total\{.*nobody-sells-this.*\} 1$/m)
  t.match(text, /^llmproxy_requests_total.* 1$/m)
  t.notMatch(text, /^llmproxy_cost_dollars_total\{/m)
})

test("who does not run the proxy gets none", async (t) => {
  const { addon } = await world(t)
  t.equal((await addon.request({ url: "/metrics", headers: { Authorization: "Bearer wrong" } })).status, 401)
})

test("what the history keeps is counted", async (t) => {
  const { addon, scraped } = await world(t, { others: [history] })
  addon.answer("Hello")
  await addon.chat("Hi")
  for (;;) if ((await scraped()).includes('llmproxy_history_flows_total{kept="true"} 1')) break
  t.pass("kept")
})

test("labels and help are escaped, and values written as Prometheus reads them", (t) => {
  const text = exposition([
    { name: "a", kind: "gauge", help: "of\na \\ slash", series: [{ labels: { of: 'a "b"\\\n' }, value: Number.NaN }] },
    { name: "b", kind: "gauge", help: "", series: [{ labels: {}, value: Number.POSITIVE_INFINITY }] },
    { name: "c", kind: "gauge", help: "", series: [{ labels: {}, value: Number.NEGATIVE_INFINITY }] },
    { name: "d", kind: "histogram", help: "", series: [{ labels: {}, value: 0, buckets: [] }] },
  ])
  t.equal(
    text,
    '# HELP a of\\na \\\\ slash\n# TYPE a gauge\na{of="a \\"b\\"\\\\\\n"} NaN\n' +
      "# HELP b \n# TYPE b gauge\nb +Inf\n# HELP c \n# TYPE c gauge\nc -Inf\n# HELP d \n# TYPE d histogram\nd_sum 0\nd_count 0\n",
  )
  t.end()
})

test("GET /docs says what it is, to anybody", async (t) => {
  const { addon } = await world(t)
  const document = JSON.parse((await addon.request({ url: "/docs/openapi.json" })).text)
  t.match(document.paths["/metrics"].get, { tags: ["metrics"], responses: { 200: { content: { "text/plain": {} } } } })
  t.match((await addon.request({ url: "/docs" })).text, /What passes, in numbers/)
})
