/**
 * The rules that hold for every dialect, over the forms in test/fixtures/llm/<dialect>: `name.sse|ndjson|json`
 * with `name.….expected.json` beside it. A new dialect adds fixtures and nothing here.
 */
import { readdirSync, readFileSync } from "node:fs"
import { test } from "tap"
import { type JsonValue, objectOf, parseJson } from "../../lib/base/json.ts"
import { Assembler, deltasOf } from "../../lib/llm/assemble.ts"
import type { Dialect, EncodeContext, StreamEvent } from "../../lib/llm/dialect.ts"
import { DIALECTS, dialectFor, dialectNamed } from "../../lib/llm/index.ts"
import type { Completion, LlmError, Usage } from "../../lib/llm/model.ts"

const ROOT = new URL("../fixtures/llm/", import.meta.url)
const NO_SPLIT: readonly number[] = []

/** Formats whose answers have no id. */
const WITHOUT_ID = new Set(["ollama", "llamacpp"])
/** Later events say again, or number, what earlier ones said. */
const RESTATE = new Set(["anthropic-messages", "openai-responses"])

interface Expected {
  id?: string
  model?: string
  created?: number
  choices?: JsonValue[]
  usage?: JsonValue
  /** How many "other" deltas. */
  others?: number
  done?: boolean
  error?: JsonValue
}

function fixtures(dialect: Dialect, streams: boolean): { name: string; bytes: Buffer; expected: Expected }[] {
  const folder = new URL(`${dialect.name}/`, ROOT)
  const names = readdirSync(folder).filter((name) => !name.endsWith(".expected.json"))
  return names
    .filter((name) => name.endsWith(".json") !== streams)
    .map((name) => {
      const expected = readFileSync(new URL(`${name}.expected.json`, folder), "utf8")
      return { name, bytes: readFileSync(new URL(name, folder)), expected: JSON.parse(expected) as Expected }
    })
}

/** Decodes `bytes`, fed in the pieces that `cuts` make. */
function decode(dialect: Dialect, bytes: Buffer, cuts: readonly number[] = NO_SPLIT): StreamEvent[] {
  const decoder = dialect.decoder()
  const ends = [...cuts, bytes.length]
  const events = ends.flatMap((end, at) => decoder.feed(bytes.subarray(ends[at - 1] ?? 0, end)))
  return [...events, ...decoder.finish()]
}

function assemble(events: readonly StreamEvent[]): { assembler: Assembler; completion: Completion } {
  const assembler = new Assembler()
  for (const event of events) assembler.push(event)
  return { assembler, completion: assembler.finish(false) }
}

/** What does not depend on where the bytes of an event came from. */
function meaning(events: readonly StreamEvent[]): string {
  return JSON.stringify(events.map(({ raw, ...rest }) => [raw.toString("latin1"), rest]))
}

/** A completion in the form of the expectations: without what is empty. */
function summaryOf(completion: Completion): Expected {
  const choices = completion.choices.map(({ index, text, reasoning, refusal, toolCalls, finishReason }) => ({
    ...(index === 0 ? {} : { index }),
    ...(reasoning === "" ? {} : { reasoning }),
    ...(text === "" ? {} : { text }),
    ...(refusal === "" ? {} : { refusal }),
    ...(toolCalls.length === 0 ? {} : { toolCalls: toolCalls.map((call) => plain({ ...call })) }),
    finish: [finishReason.unified, finishReason.raw ?? null],
  }))
  const { id, model, created } = completion
  return { ...plain({ id, model, created }), choices: choices as JsonValue[], ...usageOf(completion.usage) }
}

function usageOf({ source, ...numbers }: Usage): { usage?: JsonValue } {
  return source === "none" ? {} : { usage: plain({ ...numbers }) }
}

function plain(value: object): { [key: string]: JsonValue } {
  return JSON.parse(JSON.stringify(value))
}

function errorSummary(error: LlmError): JsonValue {
  const { raw: _, ...words } = error
  return plain(words)
}

function contextFor(dialect: Dialect): EncodeContext {
  const body = { model: "asked", messages: [], prompt: "", input: "", stream_options: { include_usage: true } }
  return { id: "fallback-id", model: "fallback-model", created: 1, request: dialect.parseRequest(body, "/") }
}

for (const dialect of DIALECTS) {
  for (const { name, bytes, expected } of fixtures(dialect, true)) {
    const title = `${dialect.name}/${name}`

    test(`${title}: the decoded answer is the expected one`, async (t) => {
      const events = decode(dialect, bytes)
      const { assembler, completion } = assemble(events)
      const { others = 0, done = false, error, ...rest } = expected
      t.strictSame(summaryOf(completion), rest)
      t.equal(assembler.done, done)
      t.strictSame(assembler.error && errorSummary(assembler.error), error)
      const deltas = events.flatMap((event) => event.deltas)
      t.equal(deltas.filter((delta) => delta.type === "other").length, others)
    })

    test(`${title}: any split of the bytes gives the same events, and they are the bytes`, async (t) => {
      const whole = decode(dialect, bytes)
      const expectedMeaning = meaning(whole)
      t.ok(Buffer.concat(whole.map((event) => event.raw)).equals(bytes))
      for (let cut = 0; cut <= bytes.length; cut++) {
        if (meaning(decode(dialect, bytes, [cut])) !== expectedMeaning) t.fail(`cut at byte ${cut}`)
      }
      const every = Array.from({ length: bytes.length - 1 }, (_, at) => at + 1)
      t.equal(meaning(decode(dialect, bytes, every)), expectedMeaning, "byte by byte")
    })

    if (expected.error) continue
    test(`${title}: written anew and read again, it is the same answer`, async (t) => {
      const events = decode(dialect, bytes)
      const { completion } = assemble(events)
      for (const adopts of [true, false]) {
        const encoder = dialect.encoder(contextFor(dialect))
        let text = ""
        for (const event of events) {
          if (adopts) encoder.adopt(event.json)
          for (const delta of event.deltas) text += encoder.delta(delta)
        }
        text += encoder.end()
        const again = assemble(decode(dialect, Buffer.from(text)))
        t.ok(again.assembler.done, "ends with the end mark")
        t.strictSame(comparable(again.completion), comparable(completion))
        t.equal(again.completion.model, adopts ? (completion.model ?? "fallback-model") : "fallback-model")
        const id = adopts ? (completion.id ?? "fallback-id") : "fallback-id"
        t.equal(again.completion.id, WITHOUT_ID.has(dialect.name) ? undefined : id)
      }
    })

    // Where events stand alone, no more of them are written anew than were changed.
    if (RESTATE.has(dialect.name))
      test(`${title}: taken over after any of its events, it ends as the same answer`, async (t) => {
        const events = decode(dialect, bytes)
        const { completion } = assemble(events)
        for (let taken = 0; taken < events.length; taken++) {
          const encoder = dialect.encoder(contextFor(dialect))
          let text = ""
          for (const [at, event] of events.entries()) {
            encoder.adopt(event.json, at < taken)
            if (at < taken) text += event.raw.toString("utf8")
            else for (const delta of event.deltas) text += encoder.delta(delta)
          }
          const again = assemble(decode(dialect, Buffer.from(text + encoder.end())))
          t.strictSame(comparable(again.completion), comparable(completion), `after event ${taken}`)
        }
      })

    test(`${title}: as a whole answer in JSON it is the same answer`, async (t) => {
      const { completion } = assemble(decode(dialect, bytes))
      const parsed = dialect.parseAnswer(dialect.writeAnswer(completion, contextFor(dialect)))
      t.strictSame(parsed?.completion && comparable(parsed.completion), comparable(completion))
    })
  }

  for (const { name, bytes, expected } of fixtures(dialect, false)) {
    test(`${dialect.name}/${name}: the parsed answer is the expected one, and streams as the same`, async (t) => {
      const body = parseJson(bytes.toString("utf8"))
      const answer = body === undefined ? undefined : dialect.parseAnswer(body)
      t.strictSame(answer?.error && errorSummary(answer.error), expected.error)
      if (!answer?.completion) return
      t.strictSame(summaryOf(answer.completion), expected)
      t.equal(answer.completion.streamed, false)
      const encoder = dialect.encoder(contextFor(dialect))
      const text = deltasOf(answer.completion).map((delta) => encoder.delta(delta))
      const again = assemble(decode(dialect, Buffer.from([...text, encoder.end()].join(""))))
      t.strictSame(comparable(again.completion), comparable(answer.completion))
    })
  }

  test(`${dialect.name}: an error is read as it was written, in a body and in a stream`, async (t) => {
    const error = { status: 429, code: "rate_limit_exceeded", message: "Slow down.\nPlease." }
    const body = dialect.parseError(429, JSON.stringify(dialect.writeError(error)))
    t.match(body, { kind: "rate_limit", status: 429, message: "Slow down.\nPlease." })
    const events = decode(dialect, Buffer.from(dialect.errorEvent(error)))
    t.equal(events.length, 1)
    t.match(events[0]?.error, { kind: "rate_limit", status: 200, message: "Slow down.\nPlease." })
    t.strictSame(events[0]?.deltas, [])
  })

  test(`${dialect.name}: a comment has no meaning, whatever is put into it`, async (t) => {
    for (const note of ["", "pending", "a\nb", 'a\r\n\r\ndata: {"choices":[]}\n\n']) {
      const events = decode(dialect, Buffer.from(dialect.comment(note)))
      t.ok(events.length <= 1)
      for (const event of events) t.match(event, { deltas: [], error: undefined, done: false })
    }
  })

  test(`${dialect.name}: it is found by its name`, async (t) => {
    t.equal(dialectNamed(dialect.name), dialect)
  })
}

/** The parts of a completion that every writer keeps: tool call ids may be made up, finish words are translated. */
function comparable(completion: Completion): JsonValue {
  const { choices = [], usage } = summaryOf(completion)
  const known = choices.length > 0 ? choices : [{ finish: ["stop"] }]
  return plain({ usage, choices: known.map(withoutMadeUp) })
}

function withoutMadeUp(choice: JsonValue): JsonValue {
  const { finish, toolCalls, ...rest } = objectOf(choice) ?? {}
  const unified = Array.isArray(finish) ? finish[0] : undefined
  const calls = Array.isArray(toolCalls) ? toolCalls.map(callOf) : undefined
  const ended = unified === "other" ? (calls ? "toolCalls" : "stop") : unified
  return plain({ ...rest, calls, ended })
}

/** Arguments by their meaning: a format that has them as an object keeps no white space. */
function callOf(call: JsonValue): JsonValue {
  const { name = "", arguments: json } = objectOf(call) ?? {}
  const text = typeof json === "string" ? json : ""
  return { name, arguments: parseJson(text) ?? text }
}

test("a path names its dialect, whatever stands before and behind it", async (t) => {
  const cases: [string, string, string | undefined][] = [
    ["POST", "/v1/chat/completions", "openai-chat"],
    ["POST", "/chat/completions", "openai-chat"],
    ["POST", "/api/v1/chat/completions?trace=1", "openai-chat"],
    ["POST", "/v1/chat/completions/", "openai-chat"],
    ["POST", "/openai/v1/chat/completions", "openai-chat"],
    ["POST", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-06-01", "openai-chat"],
    ["POST", "/v1/completions", "openai-completions"],
    ["POST", "/openai/deployments/x/completions?api-version=1", "openai-completions"],
    ["POST", "/v1/messages", "anthropic-messages"],
    ["POST", "/v1/messages?beta=true", "anthropic-messages"],
    ["POST", "/v1/messages/count_tokens", undefined],
    ["POST", "/v1/messages/batches", undefined],
    ["POST", "/v1/threads/thread_1/messages", undefined],
    ["POST", "/api/chat", "ollama"],
    ["POST", "/ollama/api/generate/?x=1", "ollama"],
    ["POST", "/api/chat/completions", "openai-chat"],
    ["POST", "/api/show", undefined],
    ["POST", "/completion", "llamacpp"],
    ["POST", "/completions", "openai-completions"],
    ["POST", "/v1/complete", undefined],
    ["POST", "/v1/responses", "openai-responses"],
    ["POST", "/openai/responses?api-version=2025-04-01-preview", "openai-responses"],
    ["POST", "/v1/responses/resp_1/cancel", undefined],
    ["POST", "/v1/responses/input_tokens", undefined],
    ["GET", "/v1/responses/resp_1", undefined],
    ["GET", "/v1/chat/completions", undefined],
    ["POST", "/v1/chat/completions/chatcmpl-1", undefined],
    ["POST", "/v1/embeddings", undefined],
    ["POST", "/v1/search?next=/v1/chat/completions", undefined],
    ["POST", "/", undefined],
    ["POST", "", undefined],
  ]
  for (const [method, path, name] of cases) t.equal(dialectFor(method, path)?.name, name, `${method} ${path}`)
})

test("an unknown dialect is refused with the names that there are", async (t) => {
  t.throws(() => dialectNamed("openai"), { code: "unknown-dialect", message: /openai-chat, openai-completions/ })
})
