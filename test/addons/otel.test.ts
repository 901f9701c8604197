/** Spans as a collector gets them: a real server that says what it is told to. */
import { createServer } from "node:http"
import { text } from "node:stream/consumers"
import { type Test, test } from "tap"
import otel from "../../addons/otel.ts"
import { defineAddon, type JsonObject } from "../../lib/index.ts"
import { type LoadAddonOptions, loadAddon } from "../../lib/testing/index.ts"

interface Received {
  readonly fields: NodeJS.Dict<string | string[]>
  readonly spans: Record<string, unknown>[]
}

/** Answers with the statuses in their order, the last one for ever. */
async function collector(t: Test, ...statuses: number[]) {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    const body = JSON.parse(await text(request))
    t.equal(`${request.method} ${request.url}`, "POST /v1/traces")
    received.push({ fields: request.headers, spans: body.resourceSpans[0].scopeSpans[0].spans })
    response.statusCode = statuses[received.length - 1] ?? statuses.at(-1) ?? 200
    response.end("{}")
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return { received, endpoint: `http://127.0.0.1:${port}/` }
}

/** Where nobody listens. */
async function closedEndpoint(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
}

async function world(t: Test, { options = {}, ...more }: LoadAddonOptions, ...statuses: number[]) {
  const { received, endpoint } = await collector(t, ...statuses)
  const addon = await loadAddon(otel, { options: { endpoint, ...options }, ...more })
  t.teardown(() => addon.close())
  /** Turns the clock until so many requests have come. */
  const until = async (count: number) => {
    while (received.length < count) {
      addon.clock.advance(5_000)
      await new Promise(setImmediate)
    }
    return received.flatMap(({ spans }) => spans)
  }
  return { addon, received, until }
}

/** Attributes by name, each value without its type. */
function attributes(span: Record<string, unknown> | undefined): Record<string, unknown> {
  const list = (span?.attributes ?? []) as { key: string; value: JsonObject }[]
  return Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]]))
}

const USAGE = { inputTokens: 9, outputTokens: 2, cachedTokens: 3, reasoningTokens: 1 }

test("an answer is a span with what the conventions name, and nothing of what was said", async (t) => {
  const { addon, received, until } = await world(t, { options: { headers: "api-key=a%2Cb, x-odd=%" } })
  addon.answer({ completion: { text: "Rayleigh", usage: USAGE } })
  const json = {
    model: "gpt-4o",
    messages: [{ role: "user", content: "Why blue?" }],
    max_tokens: 5,
    temperature: 0.5,
    top_p: 1,
    seed: 7,
    stop: ["x"],
    n: 2,
  }
  await addon.request({ url: "https://api.openai.com/v1/chat/completions", json })
  const [span] = await until(1)
  t.match(span, { name: "chat gpt-4o", kind: 3, traceId: /^[0-9a-f]{32}$/, spanId: /^[0-9a-f]{16}$/, status: {} })
  t.notOk(span?.parentSpanId)
  t.match(span?.startTimeUnixNano, /^\d{19}$/)
  t.match(attributes(span), {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.choice.count": "2",
    "gen_ai.request.max_tokens": "5",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.seed": "7",
    "server.address": "api.openai.com",
    "server.port": "443",
    "gen_ai.usage.input_tokens": "9",
    "gen_ai.usage.output_tokens": "2",
    "gen_ai.usage.cache_read.input_tokens": "3",
    "gen_ai.usage.reasoning.output_tokens": "1",
  })
  t.notMatch(JSON.stringify(received), /Rayleigh|Why blue/)
  t.match(received[0]?.fields, { "api-key": "a,b", "x-odd": "%", "content-type": "application/json" })
})

test("it hangs where the client's own trace says, and attempts hang below it", async (t) => {
  const again = defineAddon({
    name: "again",
    async llmRequest(flow) {
      flow.respond(await flow.send({ json: flow.llm.request.body }, { url: "https://second.test/v1/chat/completions" }))
    },
  })
  const { addon, until } = await world(t, { others: [again] })
  const [trace, above] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"]
  const json = { model: "m", messages: [{ role: "user", content: "a" }] }
  const url = "https://api.openai.com/v1/chat/completions"
  await addon.request({ url, json, headers: { traceparent: `00-${trace}-${above}-01` } })
  const [child, parent] = await until(1)
  t.match(parent, { traceId: trace, parentSpanId: above })
  t.match(child, { traceId: trace, parentSpanId: parent?.spanId })
  await addon.request({ url, json, headers: { traceparent: `00-${"0".repeat(32)}-${above}-01` } })
  const later = (await until(2)).at(-1)
  t.notOk(later?.parentSpanId, "a trace that is none")
  t.not(later?.traceId, "0".repeat(32))
})

test("an error says its kind, and content goes along where it is asked for, without keys", async (t) => {
  const { addon, until } = await world(t, { options: { content: true } })
  const key = `sk-proj-${"k".repeat(40)}`
  addon.answer({ status: 429, error: { code: "rate_limit_exceeded", message: "slow" } })
  await addon.chat(`my key is ${key}`)
  addon.answer({ completion: { toolCalls: [{ id: "c1", name: "look", arguments: "{}" }], text: "I look" } })
  await addon.chat("Look", { stream: true })
  const [failed, called] = await until(1)
  t.match(failed, { status: { code: 2, message: "rate_limit" } })
  t.match(attributes(failed), { "error.type": "rate_limit", "gen_ai.input.messages": /my key is/ })
  t.notMatch(JSON.stringify(failed), key)
  t.match(attributes(called)["gen_ai.output.messages"], /"content":"I look".*"tool_call".*"name":"look"/)
})

test("a collector that is busy is asked again, one that refuses is not, and each is said once", async (t) => {
  const { addon, received, until } = await world(t, {}, 503, 200, 400, 400, 200)
  await addon.chat("one")
  await until(2)
  t.strictSame(
    addon.log.lines.filter((line) => line.includes("otel")),
    [],
  )
  await addon.chat("two")
  await until(3)
  await addon.log.line("spans are dropped")
  await addon.chat("three")
  await until(4)
  await addon.chat("four")
  await until(5)
  await addon.log.line("takes spans again")
  t.equal(addon.log.lines.filter((line) => line.includes("says 400")).length, 1)
  t.equal(received.length, 5)
})

test("nobody waits for a collector that is not there, at the end least of all", async (t) => {
  const endpoint = await closedEndpoint()
  const addon = await loadAddon(otel, { options: { endpoint } })
  const answer = await addon.chat("Hello")
  t.equal(answer.status, 200)
  await addon.close()
  t.match(addon.log.lines.join("\n"), `otel: spans are dropped: ${endpoint}/v1/traces does not answer (ECONNREFUSED)`)
})

test("an endpoint and fields that are none stop the start", async (t) => {
  await t.rejects(loadAddon(otel, { options: { endpoint: "localhost:4318" } }), {
    name: "UsageError",
    message: /must be an http or https URL/,
  })
  await t.rejects(loadAddon(otel, { options: { headers: "abc" } }), { name: "UsageError", message: /write NAME=VALUE/ })
})
