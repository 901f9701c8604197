/**
 * Where JSON of a provider's holds what its deltas tell: texts, calls, the end, the usage, in every dialect, of a whole
 * answer or of one event. A place can be set; what stands beside it is nobody's affair. The places come in the order in
 * which the readers tell them (openai/read.ts, ollama/read.ts, llamacpp/read.ts). Forms that are not listed have none.
 */

import { arrayOf, isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../../base/json.ts"
import { stopWord } from "../anthropic/words.ts"
import type { EncodeContext } from "../dialect.ts"
import { setStopType } from "../llamacpp/write.ts"
import { type Delta, type DialectName, type FinishReason, NO_USAGE } from "../model.ts"
import { reasonWord } from "../ollama/write.ts"
import { toolsWord } from "../openai/chat.ts"
import { choiceFinish, detailsOf, textOfDetails, thoughtsOf, unknownFields } from "../openai/read.ts"
import { finishWord } from "../openai/write.ts"
import { kindOf } from "../responses/correlate.ts"
import { responseFinish } from "../responses/read.ts"
import { ending } from "../responses/words.ts"
import { argumentsObject, argumentsText } from "../tool-arguments.ts"
import type { TextType } from "./pieces.ts"
import { dropTokens, editDetails, isSameSaid } from "./repeats.ts"
import { Read } from "./untold.ts"
import { moveUsage } from "./usage-edit.ts"

export interface Place {
  /** What is told here, as far as the JSON alone says it: the number of a call and a merged usage are the reader's. */
  readonly delta: Delta
  /** Tells `after` here; undefined: nothing. `before` is what was told. */
  set(after: Delta | undefined, before: Delta): void
  /** Of a call: what holds its id and number, and what its name. */
  readonly call?: { readonly entry: JsonObject; readonly inner: JsonObject }
}

/** Where a call stands: in a list, or as a member. */
interface CallForm {
  readonly entry: JsonObject
  readonly inner: JsonObject
  readonly field: string
  readonly idField?: string
  remove(): void
}

/** `around`: what says the text again in tokens. `remove` takes out what is empty. */
interface TextPlace {
  readonly index?: number
  readonly around?: JsonObject
  /** Says the same under the name `text`. */
  readonly again?: JsonObject | undefined
  remove?(): void
}

/** The places of `json`, in the order in which they are told. `read` gets what is told in them or beside them. */
export function placesOf(dialect: DialectName, json: JsonValue, context: EncodeContext, read = new Read()): Place[] {
  const places = new Places(dialect, context, read)
  if (dialect === "llamacpp") {
    for (const answer of Array.isArray(json) ? json : [json]) if (isObject(answer)) places.llamacpp(answer)
    return places.all
  }
  const body = objectOf(json)
  if (body === undefined) return places.all
  switch (dialect) {
    case "openai-chat":
    case "openai-completions":
      places.chunk(body)
      break
    case "anthropic-messages":
      places.message(body)
      break
    case "openai-responses":
      places.response(body)
      break
    case "ollama":
      places.line(body)
      break
    default:
      break
  }
  return places.all
}

/** Members of a response that say what the client asked for, and the texts that its items say. A text is no setting. */
export function requestWords(response: JsonObject): string[] {
  const settings = ["text", "reasoning"].filter((name) => typeof response[name] !== "string")
  return ["input", "output_text", ...settings]
}

class Places {
  readonly all: Place[] = []
  readonly #dialect: DialectName
  readonly #context: EncodeContext
  readonly #read: Read
  readonly #calls = new Map<number, number>()

  constructor(dialect: DialectName, context: EncodeContext, read: Read) {
    this.#dialect = dialect
    this.#context = context
    this.#read = read
  }

  chunk(body: JsonObject): void {
    const choices = arrayOf(body.choices).filter(isObject)
    for (const choice of choices) this.#choice(choice)
    const holders = [objectOf(body.usage), objectOf(objectOf(body.x_groq)?.usage), ...choices.map(usageOf)]
    const counts = holders.filter((holder) => holder !== undefined)
    const timings = counts.length === 0 ? objectOf(body.timings) : undefined
    this.#usage(timings ? [timings] : counts)
    this.#other(choices)
  }

  message(body: JsonObject): void {
    const blocks = arrayOf(body.content)
    for (const block of blocks) {
      if (!isObject(block)) continue
      const remove = removal(blocks, block)
      // Sent back, a block without text is refused.
      if (block.type === "text") this.#text("text", block, "text", { remove })
      if (block.type === "thinking") this.#text("reasoning", block, "thinking", { remove })
      if (block.type === "tool_use") this.#call({ entry: block, inner: block, field: "input", remove })
      else if (block.type !== "text" && block.type !== "thinking") this.#read.addWhole(block)
    }
    this.#finish(0, (reason) => {
      const called = blocks.some((block) => objectOf(block)?.type === "tool_use")
      if (reason) body.stop_reason = stopWord(reason, called)
    })
    this.#usage([objectOf(body.usage)])
  }

  response(body: JsonObject): void {
    const items = arrayOf(body.output)
    this.#read.add(body, ...requestWords(body))
    for (const item of items) if (isObject(item)) this.#item(item, removal(items, item))
    this.#finish(0, (reason) => setResponseEnd(body, reason))
    this.#usage([objectOf(body.usage)])
  }

  line(body: JsonObject): void {
    const message = objectOf(body.message)
    const around = body
    this.#text("reasoning", isSet(message, "thinking") ? message : body, "thinking", { around })
    if (isSet(message, "content")) this.#text("text", message, "content", { around })
    else this.#text("text", body, "response", { around })
    this.#callList(isSet(message, "tool_calls") ? message : body, 0)
    if (body.done === true)
      this.#finish(0, (reason) => {
        if (reason) body.done_reason = reasonWord(reason)
      })
    this.#usage([objectOf(body.usage) && body.prompt_eval_count === undefined ? objectOf(body.usage) : body])
  }

  llamacpp(answer: JsonObject): void {
    const index = numberOf(answer.index) ?? 0
    this.#text("text", answer, "content", { index })
    if (answer.stop !== true) return
    this.#finish(index, (reason) => {
      if (reason) setStopType(answer, reason)
    })
    const counted = answer.tokens_evaluated !== undefined || answer.tokens_predicted !== undefined
    this.#usage([counted ? answer : (objectOf(answer.usage) ?? answer)])
  }

  #choice(choice: JsonObject): void {
    const index = numberOf(choice.index) ?? 0
    const message = objectOf(choice.delta) ?? objectOf(choice.message)
    if (!message) this.#text("text", choice, "text", { index })
    else {
      this.#reasoning(message, index, choice)
      this.#content(message, index, choice)
      this.#text("refusal", message, "refusal", { index, around: choice })
      this.#callList(message, index)
      const legacy = objectOf(message.function_call)
      const remove = () => {
        message.function_call = undefined
      }
      if (legacy) this.#call({ entry: legacy, inner: legacy, field: "arguments", remove }, index)
    }
    // A whole answer has an end, whether it says so or not.
    if (choiceFinish(choice) === undefined && choice.message === undefined) return
    this.#finish(index, (reason) => {
      if (reason) choice.finish_reason = finishWord(reason, toolsWord(this.#context))
      else if (choice.message === undefined) choice.finish_reason = null
    })
  }

  #content(message: JsonObject, index: number, choice: JsonObject): void {
    const where = { index, around: choice }
    const again = message.content === choice.text ? choice : undefined
    this.#text("text", message, "content", { ...where, again })
    for (const part of arrayOf(message.content)) {
      if (!isObject(part)) continue
      this.#text("text", part, "text", where)
      for (const thought of thoughtsOf(part)) if (isObject(thought)) this.#text("reasoning", thought, "text", where)
    }
  }

  /** The same text may stand under two names, or nowhere but in the details. */
  #reasoning(message: JsonObject, index: number, choice: JsonObject): void {
    const [first, second] = ["reasoning_content", "reasoning"].filter((name) => stringOf(message[name]))
    const before = first === undefined ? textOfDetails(message) : (stringOf(message[first]) ?? "")
    if (before === "") return
    const isSame = second !== undefined && isSameSaid(stringOf(message[second]), before)
    const names = [first, isSame ? second : undefined].filter((name) => name !== undefined)
    this.#read.add(message, ...names)
    for (const [detail, name] of detailsOf(message))
      if (before.includes((stringOf(detail[name]) ?? "").trim())) this.#read.add(detail, name)
    this.all.push({
      delta: { type: "reasoning", index, text: before },
      set: (after) => {
        const text = after && "text" in after ? after.text : ""
        for (const name of names) message[name] = text
        editDetails(message, first === undefined ? undefined : before, text)
        dropTokens(choice)
      },
    })
  }

  #item(item: JsonObject, remove: () => void): void {
    const field = item.type === "custom_tool_call" ? "input" : "arguments"
    if (item.type === "function_call" || item.type === "custom_tool_call") {
      const idField = item.call_id === undefined ? "id" : "call_id"
      this.#call({ entry: item, inner: item, field, idField, remove })
    }
    if (kindOf(item) === "other") this.#read.addWhole(item)
    const parts = [...arrayOf(item.content), ...arrayOf(item.summary)].filter(isObject)
    for (const part of parts) {
      if (item.type === "reasoning") this.#text("reasoning", part, "text")
      else if (part.type === "refusal") this.#text("refusal", part, "refusal")
      else if (item.type === "message") this.#text("text", part, "text")
    }
  }

  #text(type: TextType, holder: JsonObject, name: string, where: TextPlace = {}): void {
    const { index = 0, around = holder, again, remove } = where
    const text = stringOf(holder[name])
    if (!text) return
    this.#read.add(holder, name)
    if (again) this.#read.add(again, "text")
    this.all.push({
      delta: { type, index, text },
      set: (after) => {
        holder[name] = after && "text" in after ? after.text : ""
        if (again) again.text = holder[name]
        dropTokens(around)
        if (holder[name] === "") remove?.()
      },
    })
  }

  #callList(owner: JsonObject, index: number): void {
    const calls = arrayOf(owner.tool_calls)
    for (const entry of calls) {
      if (!isObject(entry)) continue
      const inner = objectOf(entry.function) ?? objectOf(entry.custom) ?? entry
      const field = inner.arguments === undefined && inner === entry.custom ? "input" : "arguments"
      const remove = () => {
        removal(calls, entry)()
        if (calls.length === 0) owner.tool_calls = undefined
      }
      this.#call({ entry, inner, field, idField: "id", remove }, index)
    }
  }

  #call({ entry, inner, field, idField = "id", remove }: CallForm, index = 0): void {
    const call = this.#calls.get(index) ?? 0
    this.#calls.set(index, call + 1)
    const value = inner[field]
    this.#read.add(entry).add(inner, field)
    const id = stringOf(entry[idField]) || undefined
    const name = stringOf(inner.name) || undefined
    this.all.push({
      delta: { type: "toolCall", index, call, id, name, arguments: argumentsText(value) },
      call: { entry, inner },
      set: (after, before) => {
        if (after?.type !== "toolCall" || before.type !== "toolCall") {
          remove()
          return
        }
        if (after.id !== before.id) entry[idField] = after.id
        if (after.name !== before.name) inner.name = after.name
        if (after.arguments !== before.arguments)
          inner[field] = isObject(value) ? argumentsObject(after.arguments) : after.arguments
      },
    })
  }

  #finish(index: number, set: (reason: FinishReason | undefined) => void): void {
    this.all.push({
      delta: { type: "finish", index, reason: { unified: "other", raw: undefined } },
      set: (after) => set(after?.type === "finish" ? after.reason : undefined),
    })
  }

  /** Where a count is said twice, both move. */
  #usage(holders: readonly (JsonObject | undefined)[]): void {
    const present = holders.filter((holder) => holder !== undefined)
    this.all.push({
      delta: { type: "usage", usage: NO_USAGE },
      set: (after, before) => {
        if (before.type !== "usage") return
        const usage = after?.type === "usage" ? after.usage : NO_USAGE
        for (const holder of present) moveUsage(this.#dialect, holder, before.usage, usage)
      },
    })
  }

  /** What no delta of ours tells, beside what some do. */
  #other(choices: readonly JsonObject[]): void {
    const messages = choices.map((choice) => objectOf(choice.delta) ?? objectOf(choice.message) ?? {})
    for (const message of messages) this.#read.add(message, ...unknownFields(message))
    if (!messages.some((message) => unknownFields(message).length > 0)) return
    this.all.push({
      delta: { type: "other", raw: null },
      set: (after) => {
        if (after !== undefined) return
        for (const message of messages) for (const name of unknownFields(message)) message[name] = undefined
      },
    })
  }
}

function isSet(holder: JsonObject | undefined, name: string): holder is JsonObject {
  return holder !== undefined && holder[name] !== undefined && holder[name] !== null
}

function usageOf(choice: JsonObject): JsonObject | undefined {
  return objectOf(choice.usage)
}

function removal(list: JsonValue[], element: JsonValue): () => void {
  return () => {
    const at = list.indexOf(element)
    if (at !== -1) list.splice(at, 1)
  }
}

/** Another end of a response: its status, and why it is not whole. */
export function setResponseEnd(response: JsonObject, reason: FinishReason | undefined): void {
  if (reason === undefined || responseFinish(response, false).unified === reason.unified) return
  const { status, incomplete_details } = ending(reason, undefined)
  response.status = status
  response.incomplete_details = incomplete_details
}
