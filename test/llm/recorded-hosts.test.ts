/** Answers recorded from running hosts, each read, counted and classified as what it is. */
import { test } from "tap"
import { isObject, type JsonObject, parseJson } from "../../lib/base/json.ts"
import type { Dialect } from "../../lib/llm/dialect.ts"
import { dialectNamed } from "../../lib/llm/index.ts"
import type { DialectName } from "../../lib/llm/model.ts"
import { readErrorBody } from "../../lib/llm/openai/errors.ts"
import {
  RECORDED_HOSTS,
  type RecordedAnswer,
  type RecordedHost,
  recorded,
  recordedChunks,
  recordedNames,
} from "../helpers/hosts/recorded-hosts.ts"
import { assembled, decodeAll } from "../helpers/llm/dialect-fixtures.ts"

/** The dialect of a recording, by how its name begins. */
function dialectOf(host: RecordedHost, name: string): Dialect {
  const named = (dialect: DialectName) => dialectNamed(dialect)
  if (name.startsWith("native-completion")) return named("llamacpp")
  if (name.startsWith("api-")) return named("ollama")
  if (/^(unknown-model-)?completion/.test(name)) return named("openai-completions")
  if (host === "ollama-0.17.4" && name === "ps") return named("ollama")
  return named("openai-chat")
}

const isStream = ({ contentType, body }: RecordedAnswer) =>
  contentType.includes("event-stream") || contentType.includes("ndjson") || body.includes("\n{")

/** What the host's own JSON says was used. */
function told(json: JsonObject): { input: unknown; output: unknown } {
  const usage = isObject(json.usage) ? json.usage : json
  return {
    input: usage.prompt_tokens ?? json.prompt_eval_count ?? json.tokens_evaluated,
    output: usage.completion_tokens ?? json.eval_count ?? json.tokens_predicted,
  }
}

/** Pages that are no answers of a model. */
const PAGES =
  /^(health|input-tokens|models|props|ps|show|slots|tags|tokenize|version|api-version|api-v0-models|unknown$)/

for (const host of RECORDED_HOSTS) {
  const answers = recordedNames(host).filter((name) => !PAGES.test(name))

  test(`${host}: every whole answer is read, with its text or calls, its end and its tokens`, async (t) => {
    let count = 0
    for (const name of answers) {
      const answer = recorded(host, name)
      if (answer.status !== 200 || isStream(answer)) continue
      const json = parseJson(answer.body.toString("utf8"))
      const completion = dialectOf(host, name).parseAnswer(json ?? null)?.completion
      t.ok(completion, name)
      if (completion === undefined || !isObject(json)) continue
      t.ok(
        completion.text !== "" || completion.toolCalls.length > 0 || completion.reasoning !== "",
        `${name}: says something`,
      )
      t.not(completion.finishReason.unified, "cut", `${name}: is whole`)
      const { input, output } = told(json)
      t.strictSame([completion.usage.inputTokens, completion.usage.outputTokens], [input, output], `${name}: tokens`)
      t.equal(completion.usage.source, "provider", name)
      count += 1
    }
    t.ok(count >= 2, `${count} whole answers`)
  })

  test(`${host}: every stream is read at any cut, to its end`, async (t) => {
    let count = 0
    for (const name of answers) {
      const answer = recorded(host, name)
      if (answer.status !== 200 || !isStream(answer)) continue
      const dialect = dialectOf(host, name)
      const whole = assembled(decodeAll(dialect, answer.body)).finish(false)
      t.ok(whole.text !== "" || whole.toolCalls.length > 0, `${name}: says something`)
      t.not(whole.finishReason.unified, "cut", `${name}: has its end`)
      for (let cut = 0; cut <= answer.body.length; cut += 7) {
        const decoder = dialect.decoder()
        const events = [answer.body.subarray(0, cut), answer.body.subarray(cut)].flatMap((piece) => decoder.feed(piece))
        const completion = assembled([...events, ...decoder.finish()]).finish(false)
        if (completion.text !== whole.text) t.equal(completion.text, whole.text, `${name}: cut at byte ${cut}`)
      }
      count += 1
    }
    t.ok(count >= 2, `${count} streams`)
  })

  test(`${host}: usage that was asked for comes with the stream, in chunks as they were on the wire`, async (t) => {
    // Paths of models were shortened in this one, and the sizes of its chunks were not.
    const isWhole = host !== "transformers-serve"
    const bytes = isWhole ? recordedChunks(host, "chat-stream-usage") : recorded(host, "chat-stream").body
    const { usage } = assembled(decodeAll(dialectNamed("openai-chat"), bytes)).finish(false)
    t.match(usage, { inputTokens: Number, outputTokens: 6, source: "provider" })
  })

  test(`${host}: errors are classified, overflows with their numbers`, async (t) => {
    for (const name of answers) {
      const { status, body } = recorded(host, name)
      if (status < 400) continue
      const error = readErrorBody(status, body.toString("utf8"))
      if (status === 404) t.not(error.kind, "context_length", name)
      else if (name.includes("overflow")) t.equal(error.kind, "context_length", name)
      else t.not(error.kind, "context_length", name)
      t.not(error.message, "", name)
    }
  })
}

test("what an overflow's numbers are, host by host", async (t) => {
  const overflowOf = (host: RecordedHost, name: string) => {
    const { status, body } = recorded(host, name)
    return readErrorBody(status, body.toString("utf8")).overflow
  }
  t.strictSame(overflowOf("llama.cpp-b11669", "chat-overflow"), { requested: 3024, limit: 1024 })
  t.strictSame(overflowOf("llama.cpp-b11669", "native-completion-overflow"), { requested: 3002, limit: 1024 })
  t.strictSame(
    overflowOf("vllm-0.32.0", "chat-overflow"),
    { requested: undefined, limit: 1024 },
    "characters are no tokens",
  )
  t.equal(overflowOf("ollama-0.17.4", "api-chat-overflow"), undefined, "it tells no numbers")
})
