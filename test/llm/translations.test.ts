/**
 * An answer carried from one dialect to another, streamed and whole, says the same wherever the other has a place for
 * it: over the forms of every dialect, to every dialect, and back.
 */
import { test } from "tap"
import { parseJson } from "../../lib/base/json.ts"
import { deltasOf } from "../../lib/llm/assemble.ts"
import type { Dialect } from "../../lib/llm/dialect.ts"
import { DIALECTS } from "../../lib/llm/index.ts"
import type { Completion, Delta, DialectName, FinishUnified } from "../../lib/llm/model.ts"
import { argumentsText } from "../../lib/llm/tool-arguments.ts"
import { assembled, contextFor, decodeAll, streamedAnswers } from "../helpers/llm/dialect-fixtures.ts"

interface Places {
  readonly calls: boolean
  readonly reasoning: boolean
  /** A refusal has a field of its own, becomes text, or has no place. */
  readonly refusal: "field" | "text" | "none"
  readonly contentFilter: boolean
}

const CONVERSATION: Places = { calls: true, reasoning: true, refusal: "field", contentFilter: true }
const RAW: Places = { calls: false, reasoning: false, refusal: "none", contentFilter: true }

const PLACES: Readonly<Record<DialectName, Places>> = {
  "openai-chat": CONVERSATION,
  "openai-responses": CONVERSATION,
  "openai-realtime": CONVERSATION,
  "anthropic-messages": { ...CONVERSATION, refusal: "text" },
  ollama: { ...CONVERSATION, refusal: "text", contentFilter: false },
  "openai-completions": RAW,
  llamacpp: { ...RAW, refusal: "text", contentFilter: false },
}

/** What `completion` says, as far as it has a place in each of `dialects`. */
function said(completion: Completion, ...dialects: readonly Dialect[]): unknown {
  const places = dialects.map((dialect) => PLACES[dialect.name])
  const field = places.every(({ refusal }) => refusal === "field")
  const none = places.some(({ refusal }) => refusal === "none")
  const { text, refusal, reasoning, toolCalls } = completion
  const calls = places.every((place) => place.calls) ? toolCalls : []
  return {
    text: field || none ? text : text + refusal,
    refusal: field ? refusal : "",
    reasoning: places.every((place) => place.reasoning) ? reasoning : "",
    calls: calls.map((call) => [call.name, argumentsOf(call.arguments)]),
    ended: ended(
      completion,
      calls.length > 0,
      places.every((place) => place.contentFilter),
    ),
  }
}

/** By their meaning; what is no object may have been wrapped into one on its way. */
function argumentsOf(text: string): unknown {
  const json = parseJson(text === "" ? "{}" : text)
  const unwrapped = argumentsText(json ?? text)
  return parseJson(unwrapped) ?? unwrapped
}

function ended({ finishReason }: Completion, calls: boolean, contentFilter: boolean): FinishUnified {
  const { unified } = finishReason
  if (unified === "contentFilter" && !contentFilter) return calls ? "toolCalls" : "stop"
  // Some servers say "stop" for an answer that calls tools, and clients of the others would not run them.
  if (unified === "stop" || unified === "other" || unified === "toolCalls") return calls ? "toolCalls" : "stop"
  return unified
}

/** Another dialect's events have no place. */
function translated(deltas: readonly Delta[], to: Dialect): Buffer {
  const encoder = to.encoder(contextFor(to))
  const pieces = deltas.filter(({ type }) => type !== "other").map((delta) => encoder.delta(delta))
  return Buffer.from([...pieces, encoder.end()].join(""))
}

for (const to of DIALECTS) {
  test(`every stream can be written as ${to.name}, and as its own again`, async (t) => {
    for (const { title, dialect: from, completion, deltas } of streamedAnswers()) {
      const there = decodeAll(to, translated(deltas, to))
      const carried = assembled(there)
      t.ok(carried.done, `${title}: it ends`)
      t.strictSame(said(carried.finish(false), to, from), said(completion, to, from), `${title}: there`)
      const back = translated(
        there.flatMap((event) => event.deltas),
        from,
      )
      t.strictSame(
        said(assembled(decodeAll(from, back)).finish(false), to, from),
        said(completion, to, from),
        `${title}: back`,
      )
    }
  })

  test(`every whole answer can be written as ${to.name}, and streamed as it`, async (t) => {
    for (const { title, dialect: from, completion } of streamedAnswers()) {
      const whole = to.parseAnswer(to.writeAnswer(completion, contextFor(to)))?.completion
      t.strictSame(whole && said(whole, to, from), said(completion, to, from), `${title}: whole`)
      const streamed = assembled(decodeAll(to, translated(deltasOf(completion), to))).finish(false)
      t.strictSame(said(streamed, to, from), said(completion, to, from), `${title}: streamed`)
    }
  })

  test(`usage keeps its numbers in ${to.name}`, async (t) => {
    for (const { title, completion, deltas } of streamedAnswers()) {
      const { usage } = completion
      if (usage.inputTokens === undefined || usage.outputTokens === undefined || to.name === "openai-completions")
        continue
      const events = decodeAll(to, translated([...deltas, { type: "usage", usage }], to))
      const carried = assembled(events).finish(false).usage
      t.equal(carried.inputTokens, usage.inputTokens, title)
      t.equal(carried.outputTokens, usage.outputTokens, title)
    }
  })
}
