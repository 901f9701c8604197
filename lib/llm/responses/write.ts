/**
 * OpenAI's Responses as we write them, streamed and whole. The last event of a stream says the whole answer again, so
 * all of it is held here, up to a limit. Source: openai-node, resources/responses; OpenAI's docs, "Streaming responses".
 */

import { arrayOf, isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../../base/json.ts"
import { AnswerLimit } from "../answer-limit.ts"
import type { EncodeContext, StreamEncoder } from "../dialect.ts"
import { namedEvent } from "../framing/sse-json.ts"
import type { Completion, Delta, FinishReason, Usage } from "../model.ts"
import { isWholeObject } from "../tool-arguments.ts"
import { mergeUsage } from "../usage.ts"
import { CALLS, OutputItem, PARTS, type PartKind } from "./items.ts"
import { responseFinish } from "./read.ts"
import { callItem, ending, messageItem, reasoningItem, responseHead, toolTypes } from "./words.ts"

type CallDelta = Extract<Delta, { type: "toolCall" }>

/** What is known of a call before its item opens: its first event must hold the whole name. */
interface KnownCall {
  id: string | undefined
  name: string
  item: OutputItem | undefined
}

const ENDS = new Set(["response.completed", "response.incomplete"])

export class ResponsesEncoder implements StreamEncoder {
  readonly #id: string
  readonly #limit = new AnswerLimit()
  readonly #toolTypes: ReadonlyMap<string, string>
  readonly #output: OutputItem[] = []
  readonly #calls = new Map<number, KnownCall>()
  /** Items of the answer that we read, by their number there. */
  readonly #moved = new Map<number, OutputItem>()
  #head: JsonObject
  /** The item that the answer we read has begun: ours of the same type gets its id and the fields we do not know. */
  #adopted: JsonObject = {}
  #started = false
  #sequence = 0
  #finish: FinishReason | undefined
  #usage: Usage | undefined

  constructor(context: EncodeContext) {
    this.#id = context.id
    this.#toolTypes = toolTypes(context.request)
    this.#head = responseHead(context, {})
  }

  adopt(json: JsonValue | undefined, sent = false): void {
    if (!isObject(json)) return
    const { output: _, usage: __, status: ___, incomplete_details: ____, ...response } = objectOf(json.response) ?? {}
    this.#head = { ...this.#head, ...response }
    if (sent) this.#noteSent(json)
    else if (json.type === "response.output_item.added") this.#adopted = objectOf(json.item) ?? {}
    else if (json.type === "response.output_item.done") this.#adoptEnd(objectOf(json.item) ?? {})
  }

  delta(delta: Delta): string {
    // A response is one choice.
    if ("index" in delta && delta.index !== 0) return ""
    switch (delta.type) {
      case "text":
      case "refusal":
      case "reasoning":
        return delta.text === "" ? "" : this.#text(delta.type, delta.text)
      case "toolCall":
        return this.#call(delta)
      case "usage":
        this.#usage = mergeUsage(this.#usage, delta.usage)
        return ""
      case "finish":
        this.#finish = delta.reason
        return ""
      case "other":
        return isObject(delta.raw) ? this.#other(delta.raw) : ""
    }
  }

  end(): string {
    let text = this.#start()
    for (const [number, call] of this.#calls) if (!call.item) text += this.#openCall(number, call)
    for (const item of this.#output) text += item.close()
    const rest = ending(this.#finish, this.#usage)
    const response = { ...this.#head, ...rest, output: this.#output.map((item) => item.json) }
    return text + this.#emit(`response.${rest.status}`, { response })
  }

  readonly #emit = (type: string, fields: JsonObject): string =>
    namedEvent(type, { type, sequence_number: this.#sequence++, ...fields })

  #text(kind: PartKind, text: string): string {
    const type = PARTS[kind].item
    const current = this.#output.findLast((item) => item.open && !CALLS.has(item.type))
    const [item, events] = current?.type === type ? [current, ""] : this.#open(this.#itemFor(type))
    return events + item.text(kind, this.#limit.hold(text))
  }

  #itemFor(type: "message" | "reasoning"): JsonObject {
    const at = this.#output.length
    const fresh = type === "message" ? messageItem(`msg_${this.#id}_${at}`) : reasoningItem(`rs_${this.#id}_${at}`)
    const adopted = this.#adopted.type === type ? this.#adopted : {}
    this.#adopted = {}
    return { ...fresh, ...adopted, ...(type === "message" ? { content: [] } : { summary: [] }) }
  }

  #call(delta: CallDelta): string {
    let call = this.#calls.get(delta.call)
    if (!call) {
      call = { id: undefined, name: "", item: undefined }
      this.#calls.set(delta.call, call)
    }
    if (!call.item) {
      call.id ??= delta.id
      call.name += delta.name ?? ""
    }
    if (delta.arguments === "") return ""
    const events = call.item ? "" : this.#openCall(delta.call, call)
    return call.item?.open ? events + call.item.piece(this.#limit.hold(delta.arguments)) : events
  }

  #openCall(number: number, call: KnownCall): string {
    const type = this.#toolTypes.get(call.name) ?? "function_call"
    const [item, events] = this.#open(callItem(type, `${this.#id}_${number}`, call.id, call.name))
    call.item = item
    return events
  }

  /** What no delta of ours tells, of the same dialect: the items and events of server tools, annotations. */
  #other(raw: JsonObject): string {
    const type = stringOf(raw.type) ?? ""
    const index = numberOf(raw.output_index)
    const item = objectOf(raw.item)
    if (type === "response.output_text.annotation.added")
      return this.#output.findLast(({ open }) => open)?.annotation(objectOf(raw.annotation) ?? {}) ?? ""
    // An item of a response that came whole has an id; another dialect's event has none.
    if (!type.startsWith("response.")) return typeof raw.id === "string" ? this.#wholeItem(raw) : ""
    if (index === undefined) return this.#start() + this.#renumbered(type, raw, {})
    const moved = this.#moved.get(index)
    if (moved && item && type.endsWith(".done")) return moved.replace(item)
    if (moved) return this.#renumbered(type, raw, { output_index: moved.index })
    if (!item) return ""
    const [opened, events] = this.#open(item)
    this.#moved.set(index, opened)
    return type.endsWith(".done") ? events + opened.replace(item) : events
  }

  #wholeItem(item: JsonObject): string {
    const [opened, events] = this.#open(item)
    return events + opened.replace(item)
  }

  #renumbered(type: string, raw: JsonObject, place: JsonObject): string {
    const { type: _, sequence_number: __, ...fields } = raw
    return this.#emit(type, { ...fields, ...place })
  }

  /** Begins an item; ends those before it that are whole. */
  #open(json: JsonObject): [OutputItem, string] {
    let events = this.#start()
    for (const item of this.#output) {
      const whole = !CALLS.has(item.type) || isWholeObject(item.arguments)
      if (item.open && whole && !this.#isMoved(item)) events += item.close()
    }
    const item = new OutputItem(this.#emit, this.#output.length, json)
    this.#output.push(item)
    return [item, events + item.begin()]
  }

  #isMoved(item: OutputItem): boolean {
    return [...this.#moved.values()].includes(item)
  }

  #start(): string {
    if (this.#started) return ""
    this.#started = true
    const response = { ...this.#head, status: "in_progress", output: [], usage: null }
    return this.#emit("response.created", { response }) + this.#emit("response.in_progress", { response })
  }

  /** The end of an item tells what its start could not: encrypted reasoning. */
  #adoptEnd({ content: _, summary: __, status: ___, arguments: ____, input: _____, ...more }: JsonObject): void {
    const item = this.#output.findLast(({ type }) => type === more.type)
    if (item?.open && item.json.id === more.id) Object.assign(item.json, more)
  }

  /** Follows a stream whose events left as they came, so that we can go on where they end. */
  #noteSent(json: JsonObject): void {
    const type = stringOf(json.type) ?? ""
    const index = numberOf(json.output_index)
    const response = objectOf(json.response)
    if (ENDS.has(type) && response) this.#finish = responseFinish(response, this.#calls.size > 0)
    this.#started = true
    this.#sequence = (numberOf(json.sequence_number) ?? this.#sequence) + 1
    if (index === undefined) return
    const item = objectOf(json.item)
    if (type === "response.output_item.added" && item) this.#noteItem(index, item)
    const known = this.#output[index]
    this.#limit.hold(stringOf(json.delta) ?? "")
    known?.note(type, json)
  }

  #noteItem(index: number, json: JsonObject): void {
    if (index > this.#output.length) return
    const item = new OutputItem(this.#emit, index, json)
    this.#output[index] = item
    if (CALLS.has(item.type)) this.#calls.set(this.#calls.size, { id: undefined, name: "", item })
    else if (item.type !== "message" && item.type !== "reasoning") this.#moved.set(index, item)
  }
}

export function writeResponsesAnswer(completion: Completion, context: EncodeContext): JsonObject {
  const { reasoning, text, refusal, toolCalls, finishReason, usage } = completion
  const types = toolTypes(context.request)
  const emit = (): string => ""
  const output: OutputItem[] = []
  const add = (json: JsonObject): OutputItem => {
    const item = new OutputItem(emit, output.length, json)
    output.push(item)
    return item
  }
  if (reasoning !== "") add(reasoningItem(`rs_${context.id}_0`)).text("reasoning", reasoning)
  if (text + refusal !== "") {
    const message = add(messageItem(`msg_${context.id}_${output.length}`))
    if (text !== "") message.text("text", text)
    if (refusal !== "") message.text("refusal", refusal)
  }
  for (const [at, call] of toolCalls.entries()) {
    const type = types.get(call.name) ?? "function_call"
    add(callItem(type, `${context.id}_${at}`, call.id, call.name)).piece(call.arguments)
  }
  for (const item of output) item.close()
  return {
    ...responseHead(context, { id: completion.id, model: completion.model, created_at: completion.created }),
    ...ending(finishReason, usage),
    output: arrayOf(output.map((item) => item.json)),
  }
}
