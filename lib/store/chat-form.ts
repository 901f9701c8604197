/**
 * A kept conversation in chat's form, whatever dialect it was held in: roles system, user, assistant and tool, calls with
 * ids, each answered by its result. Programs that fine-tune take this form and no other, so what has no place in it is not
 * left out in silence: the whole exchange is refused, with the reason. Reasoning has no place and is no loss. Pure.
 */
import { arrayOf, isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../base/json.ts"
import { chatTools } from "./chat-tools.ts"

export interface ChatForm {
  readonly messages: readonly JsonObject[]
  readonly tools: readonly JsonObject[] | undefined
}

/** Why an exchange has no chat form, in words for people. */
export class NoChatForm extends Error {}

export interface Held {
  readonly messages: readonly JsonObject[]
  /** The assistant's message, as the history keeps it. */
  readonly answer: JsonObject
  readonly tools: JsonValue | undefined
}

/** Throws NoChatForm. */
export function chatForm({ messages, answer, tools }: Held): ChatForm {
  const writer = new ChatWriter()
  for (const message of messages) writer.add(message)
  writer.add(answer)
  const listed = chatTools(tools)
  if (typeof listed === "string") throw new NoChatForm(listed)
  return { messages: writer.finish(), tools: listed.length === 0 ? undefined : listed }
}

const NOTHING: ReadonlySet<string | undefined> = new Set(["thinking", "redacted_thinking", "reasoning"])
const TEXTS: ReadonlySet<string | undefined> = new Set(["text", "input_text", "output_text", "refusal"])
const IMAGES: ReadonlySet<string | undefined> = new Set(["image_url", "input_image", "image"])
const ROLES: ReadonlyMap<string | undefined, string> = new Map([
  ["system", "system"],
  ["developer", "system"],
  ["user", "user"],
  ["assistant", "assistant"],
  ["tool", "tool"],
  ["function", "tool"],
])
/** How an image in base64 begins, for dialects that do not say what it is. */
const IMAGE_STARTS: readonly (readonly [start: string, type: string])[] = [
  ["iVBOR", "image/png"],
  ["/9j/", "image/jpeg"],
  ["R0lG", "image/gif"],
  ["UklGR", "image/webp"],
]

/** A call as it was kept. */
interface Call {
  readonly id: JsonValue | undefined
  readonly name: JsonValue | undefined
  readonly given: JsonValue | undefined
}

/** One that waits for its result. */
interface OpenCall {
  readonly id: string
  readonly name: string
}

class ChatWriter {
  readonly #messages: JsonObject[] = []
  #open: OpenCall[] = []
  #made = 0

  /** A message of chat, Anthropic or Ollama, or an item of Responses. */
  add(message: JsonObject): void {
    const type = stringOf(message.type)
    const named = stringOf(message.role)
    if (named === undefined && type !== "message") {
      this.#addItem(type, message)
      return
    }
    const role = ROLES.get(named)
    if (role === undefined) throw new NoChatForm(`the role "${named ?? "none"}"`)
    if (role === "tool") this.#result(stringOf(message.tool_call_id), nameOf(message), textOfResult(message.content))
    else if (role === "assistant") this.#assistant(message)
    else this.#said(role, message)
  }

  finish(): JsonObject[] {
    // The answer may end with calls: whoever trains on it learns to make them.
    if (this.#messages.at(-1)?.role !== "assistant") throw new NoChatForm("no answer at the end")
    return this.#messages
  }

  /** An item of Responses that is no message. */
  #addItem(type: string | undefined, item: JsonObject): void {
    const id = stringOf(item.call_id) ?? stringOf(item.id)
    if (type === "function_call") this.#call({ id, name: item.name, given: item.arguments })
    else if (type === "custom_tool_call") this.#call({ id, name: item.name, given: oneText(item) })
    else if (type === "function_call_output" || type === "custom_tool_call_output")
      this.#result(id, undefined, textOfResult(item.output))
    else if (!NOTHING.has(type)) throw new NoChatForm(`an item of type ${type ?? "none"}`)
  }

  #said(role: string, { content, name, images }: JsonObject): void {
    const parts: JsonObject[] = []
    for (const part of partsOf(content)) {
      const type = stringOf(part.type)
      if (type === "tool_result") this.#result(stringOf(part.tool_use_id), undefined, textOfResult(part.content))
      else if (TEXTS.has(type)) parts.push({ type: "text", text: textIn(part) })
      else if (IMAGES.has(type)) parts.push({ type: "image_url", image_url: imageIn(part) })
      else throw new NoChatForm(`a part of type ${type ?? "none"}`)
    }
    for (const image of Array.isArray(images) ? images : [])
      parts.push({ type: "image_url", image_url: { url: imageUrl(stringOf(image)) } })
    if (parts.length === 0 && Array.isArray(content) && content.length > 0) return // Results alone.
    this.#closed()
    const isPlain = parts.every(({ type }) => type === "text")
    const text = parts.map(({ text: one }) => stringOf(one) ?? "").join("\n")
    this.#messages.push({ role, content: isPlain ? text : parts, ...(typeof name === "string" ? { name } : {}) })
  }

  #assistant(message: JsonObject): void {
    const texts: string[] = []
    const calls: Call[] = []
    for (const part of partsOf(message.content)) {
      const type = stringOf(part.type)
      if (type === "tool_use") calls.push({ id: part.id, name: part.name, given: part.input })
      else if (TEXTS.has(type)) texts.push(textIn(part))
      else if (!NOTHING.has(type)) throw new NoChatForm(`a part of type ${type ?? "none"} in an answer`)
    }
    if (typeof message.refusal === "string" && texts.join("") === "") texts.push(message.refusal)
    if (message.audio !== undefined && message.audio !== null) throw new NoChatForm("an answer in audio")
    for (const call of arrayOf(message.tool_calls)) calls.push(callIn(call))
    const legacy = objectOf(message.function_call)
    if (legacy !== undefined) calls.push({ id: undefined, name: legacy.name, given: legacy.arguments })
    this.#closed()
    if (texts.length > 0 || calls.length === 0) this.#messages.push({ role: "assistant", content: texts.join("\n") })
    for (const call of calls) this.#call(call)
  }

  /** Calls of one turn stand in one message, with what was said before them. */
  #call({ id, name, given }: Call): void {
    if (typeof name !== "string") throw new NoChatForm("a call without its name")
    const call = { id: stringOf(id) ?? `call_${++this.#made}`, name }
    const last = this.#messages.at(-1)
    const json = typeof given === "string" ? given : JSON.stringify(given ?? {})
    const written: JsonObject = { id: call.id, type: "function", function: { name, arguments: json } }
    if (last?.role === "assistant" && Array.isArray(last.tool_calls)) last.tool_calls.push(written)
    else if (last?.role === "assistant") Object.assign(last, { content: last.content || null, tool_calls: [written] })
    else this.#messages.push({ role: "assistant", content: null, tool_calls: [written] })
    this.#open.push(call)
  }

  #result(id: string | undefined, name: string | undefined, content: string): void {
    const found = this.#open.find((call) =>
      id === undefined ? name === undefined || call.name === name : call.id === id,
    )
    if (found === undefined) throw new NoChatForm("a result without its call")
    this.#open = this.#open.filter((call) => call !== found)
    this.#messages.push({ role: "tool", tool_call_id: found.id, content })
  }

  /** The next turn begins: whatever was called has its result. */
  #closed(): void {
    if (this.#open.length > 0) throw new NoChatForm(`a call of ${this.#open[0]?.name} without its result`)
  }
}

function nameOf({ tool_name: tool, name }: JsonObject): string | undefined {
  return stringOf(tool) ?? stringOf(name)
}

/** A content as parts: a text is one. */
function partsOf(content: JsonValue | undefined): JsonObject[] {
  if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }]
  if (!Array.isArray(content)) return []
  return content.map((part) => (typeof part === "string" ? { type: "text", text: part } : (objectOf(part) ?? {})))
}

function textIn({ text, refusal }: JsonObject): string {
  return stringOf(text) ?? stringOf(refusal) ?? ""
}

/** One of a list of calls: of a function, or of a tool that takes one text. */
function callIn(call: JsonValue): Call {
  const { id, custom, function: called } = objectOf(call) ?? {}
  if (isObject(custom)) return { id, name: custom.name, given: oneText(custom) }
  const inner = objectOf(called)
  return { id, name: inner?.name, given: inner?.arguments }
}

function oneText({ input }: JsonObject): JsonObject {
  return { input: input ?? "" }
}

/** A result as text: that of its parts, or its JSON. */
function textOfResult(content: JsonValue | undefined): string {
  if (content === undefined || content === null) return ""
  if (typeof content === "string") return content
  if (!Array.isArray(content)) return JSON.stringify(content)
  const parts = partsOf(content)
  const other = parts.find(({ type }) => !TEXTS.has(stringOf(type)))
  if (other !== undefined) throw new NoChatForm(`a result of type ${stringOf(other.type) ?? "none"}`)
  return parts.map(textIn).join("\n")
}

/** OpenAI's `image_url`: from chat as it is, from Responses a text, from Anthropic a source. */
function imageIn(part: JsonObject): JsonObject {
  const { image_url: image } = part
  if (isObject(image)) return image
  const source = objectOf(part.source)
  const url = stringOf(image) ?? stringOf(source?.url)
  if (url !== undefined) return { url }
  return { url: imageUrl(stringOf(source?.data), stringOf(source?.media_type)) }
}

function imageUrl(base64: string | undefined, named?: string): string {
  if (base64 === undefined) throw new NoChatForm("an image without its data")
  const type = named ?? IMAGE_STARTS.find(([start]) => base64.startsWith(start))?.[1] ?? "image/png"
  return `data:${type};base64,${base64}`
}
