/**
 * Puts the deltas of an answer together into a Completion, and takes a Completion apart into deltas again. The same for
 * every dialect. The result is bounded: an answer beyond the limit still streams to the client, but is kept in part.
 */

import { isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../base/json.ts"
import type { StreamEvent } from "./dialect.ts"
import {
  type Choice,
  type Completion,
  type Delta,
  type FinishReason,
  type LlmError,
  type LlmTimings,
  NO_USAGE,
  type ToolCall,
  type Usage,
} from "./model.ts"
import { mergeUsage } from "./usage.ts"

/** An assembled answer holds at most this many UTF-16 code units of text, reasoning, refusal and arguments together. */
export const COMPLETION_CHARS_MAX = 16 * 1024 * 1024

// What a choice or a tool call costs beyond its text: an upstream must not fill memory with empty ones.
const ENTRY_CHARS = 256
// What a piece costs beyond its text.
const PIECE_CHARS = 16

const NO_TIMINGS: Readonly<LlmTimings> = { firstDeltaMs: undefined, totalMs: undefined }
const UNKNOWN: FinishReason = { unified: "other", raw: undefined }

/** Parts of a Completion that dialects name; the rest follows from `choices`. */
export interface CompletionParts {
  readonly id?: string | undefined
  readonly model?: string | undefined
  readonly created?: number | undefined
  readonly choices: readonly Choice[]
  readonly usage?: Usage | undefined
  readonly streamed?: boolean
  readonly timings?: LlmTimings
  readonly truncated?: boolean
  /** Of an answer without a choice. */
  readonly finishReason?: FinishReason
}

/** A Completion whose `text`, `toolCalls` and the like follow its first choice, also after a change there. */
export function completionOf(parts: CompletionParts): Completion {
  const choices = parts.choices.toSorted((a, b) => a.index - b.index)
  return {
    id: parts.id,
    model: parts.model,
    created: parts.created,
    choices,
    get text() {
      return choices[0]?.text ?? ""
    },
    get reasoning() {
      return choices[0]?.reasoning ?? ""
    },
    get refusal() {
      return choices[0]?.refusal ?? ""
    },
    get toolCalls() {
      return choices[0]?.toolCalls ?? []
    },
    get finishReason() {
      return choices[0]?.finishReason ?? parts.finishReason ?? UNKNOWN
    },
    usage: parts.usage ?? { ...NO_USAGE },
    streamed: parts.streamed ?? false,
    timings: parts.timings ?? { ...NO_TIMINGS },
    ...(parts.truncated ? { truncated: true } : {}),
  }
}

/** Whether a delta is a piece of the answer itself: what "the first delta" means. Usage, finish and other are not. */
export function isContent(delta: Delta): boolean {
  switch (delta.type) {
    case "text":
    case "reasoning":
    case "refusal":
      return delta.text !== ""
    case "toolCall":
      return true
    default:
      return false
  }
}

/** Whether an event says that a choice, or the answer, has ended. */
export function isConclusion({ done, error, deltas }: StreamEvent): boolean {
  return done || error !== undefined || deltas.some(({ type }) => type === "finish")
}

/** The deltas that make `completion`: one a text, one a tool call. For a JSON answer that goes to a streaming client. */
export function deltasOf(completion: Completion): Delta[] {
  const deltas: Delta[] = []
  for (const { index, reasoning, text, refusal, toolCalls, finishReason } of completion.choices) {
    if (reasoning) deltas.push({ type: "reasoning", index, text: reasoning })
    if (text) deltas.push({ type: "text", index, text })
    if (refusal) deltas.push({ type: "refusal", index, text: refusal })
    for (const [call, { id, name, arguments: json }] of toolCalls.entries()) {
      deltas.push({ type: "toolCall", index, call, id, name, arguments: json })
    }
    deltas.push({ type: "finish", index, reason: finishReason })
  }
  if (completion.usage.source !== "none") deltas.push({ type: "usage", usage: completion.usage })
  return deltas
}

/** The Completion of a whole answer, from its deltas; id, model and time are those of `body`. */
export function completionFrom(deltas: readonly Delta[], body: JsonValue): Completion {
  const assembler = new Assembler({ streamed: false })
  assembler.push({ raw: Buffer.alloc(0), deltas, error: undefined, done: true, json: body })
  return assembler.finish(false)
}

interface OpenCall {
  id: string | undefined
  name: string
  readonly arguments: string[]
}

class OpenChoice {
  readonly index: number
  readonly text: string[] = []
  readonly reasoning: string[] = []
  readonly refusal: string[] = []
  readonly calls = new Map<number, OpenCall>()
  finish: FinishReason | undefined

  constructor(index: number) {
    this.index = index
  }

  close(cut: boolean): Choice {
    return {
      index: this.index,
      text: this.text.join(""),
      reasoning: this.reasoning.join(""),
      refusal: this.refusal.join(""),
      toolCalls: [...this.calls.entries()].sort(([a], [b]) => a - b).map(([, call]) => closeCall(call)),
      finishReason: finishOf(this.finish, cut),
    }
  }
}

export interface AssemblerOptions {
  /** Default: COMPLETION_CHARS_MAX. */
  readonly charsMax?: number
  /** Whether the answer comes as a stream of events. Default: true. */
  readonly streamed?: boolean
}

/** Assembles one streamed answer. `push` every event, then `finish` once. */
export class Assembler {
  readonly #choices = new Map<number, OpenChoice>()
  readonly #max: number
  readonly #streamed: boolean
  #chars = 0
  #truncated = false
  #usage: Usage | undefined
  #id: string | undefined
  #model: string | undefined
  #created: number | undefined
  #done = false
  #hasContent = false
  #error: LlmError | undefined

  constructor(options: AssemblerOptions = {}) {
    this.#max = options.charsMax ?? COMPLETION_CHARS_MAX
    this.#streamed = options.streamed ?? true
  }

  /** Whether the stream's own end mark was seen. */
  get done(): boolean {
    return this.#done
  }

  /** Whether a piece of an answer was seen. An answer without one is empty, whatever its status. */
  get hasContent(): boolean {
    return this.#hasContent
  }

  /** The first error event. */
  get error(): LlmError | undefined {
    return this.#error
  }

  push(event: StreamEvent): void {
    this.#done ||= event.done
    this.#error ??= event.error
    if (isObject(event.json)) this.#identify(event.json)
    for (const delta of event.deltas) this.add(delta)
  }

  /** One delta alone, for an answer that did not come as events. */
  add(delta: Delta): void {
    if (isContent(delta)) this.#hasContent = true
    switch (delta.type) {
      case "text":
      case "reasoning":
      case "refusal":
        if (delta.text !== "" && this.#room(PIECE_CHARS + delta.text.length))
          this.#choice(delta.index)?.[delta.type].push(delta.text)
        break
      case "toolCall":
        this.#addCall(delta)
        break
      case "finish": {
        const choice = this.#choice(delta.index)
        if (choice) choice.finish = delta.reason
        break
      }
      case "usage":
        this.#usage = mergeUsage(this.#usage, delta.usage)
        break
    }
  }

  /** The answer. `cut`: the stream broke off before its end, which every choice's finish reason then says. */
  finish(cut: boolean, timings: LlmTimings = { ...NO_TIMINGS }): Completion {
    return completionOf({
      id: this.#id,
      model: this.#model,
      created: this.#created,
      choices: [...this.#choices.values()].map((choice) => choice.close(cut)),
      usage: this.#usage,
      streamed: this.#streamed,
      timings,
      truncated: this.#truncated,
      finishReason: finishOf(undefined, cut),
    })
  }

  #addCall(delta: Extract<Delta, { type: "toolCall" }>): void {
    const choice = this.#choice(delta.index)
    let call = choice?.calls.get(delta.call)
    if (choice && !call && this.#room(ENTRY_CHARS)) {
      call = { id: undefined, name: "", arguments: [] }
      choice.calls.set(delta.call, call)
    }
    if (!call) return
    if (delta.id && call.id === undefined && this.#room(delta.id.length)) call.id = delta.id
    if (delta.name && this.#room(delta.name.length)) call.name += delta.name
    if (delta.arguments !== "" && this.#room(PIECE_CHARS + delta.arguments.length)) call.arguments.push(delta.arguments)
  }

  #choice(index: number): OpenChoice | undefined {
    let choice = this.#choices.get(index)
    if (!choice && this.#room(ENTRY_CHARS)) {
      choice = new OpenChoice(index)
      this.#choices.set(index, choice)
    }
    return choice
  }

  /** Counts `chars`; false from the first piece on that does not fit, so that no gap is hidden inside a text. */
  #room(chars: number): boolean {
    if (this.#truncated || this.#chars + chars > this.#max) {
      this.#truncated = true
      return false
    }
    this.#chars += chars
    return true
  }

  /** Id, model and time stand at the top of an event, or one level down (`message`, `response`) in newer formats. */
  #identify(json: JsonObject): void {
    if (this.#id !== undefined && this.#model !== undefined) return
    const inner = objectOf(json.response) ?? objectOf(json.message)
    this.#id ??= nonEmpty(json.id) ?? nonEmpty(inner?.id)
    this.#model ??= nonEmpty(json.model) ?? nonEmpty(inner?.model)
    this.#created ??= numberOf(json.created) || numberOf(json.created_at ?? inner?.created_at) || undefined
  }
}

function finishOf(reason: FinishReason | undefined, cut: boolean): FinishReason {
  return cut ? { unified: "cut", raw: reason?.raw } : (reason ?? UNKNOWN)
}

function closeCall(call: OpenCall): ToolCall {
  return { id: call.id, name: call.name, arguments: call.arguments.join("") }
}

function nonEmpty(value: JsonValue | undefined): string | undefined {
  return stringOf(value) || undefined
}
