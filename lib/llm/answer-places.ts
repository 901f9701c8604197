/**
 * Where the JSON of a whole answer holds what its deltas tell: the texts and the arguments of calls, in every dialect.
 * A place can be set; what stands beside it is nobody's affair. Forms that are not listed here are written anew.
 */
import { arrayOf, isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "./json.ts"
import type { Delta, DialectName } from "./model.ts"
import { argumentsObject, argumentsText } from "./tool-arguments.ts"

type TextType = "text" | "reasoning" | "refusal"

export interface AnswerPlace {
  readonly delta: Extract<Delta, { type: TextType | "toolCall" }>
  set(text: string): void
}

/** The places of `json`, in the order in which they are told. */
export function placesOf(dialect: DialectName, json: JsonValue): AnswerPlace[] {
  const places = new Places()
  const body = objectOf(json)
  switch (dialect) {
    case "openai-chat":
    case "openai-completions":
      for (const choice of arrayOf(body?.choices)) if (isObject(choice)) places.choice(choice)
      break
    case "anthropic-messages":
      for (const block of arrayOf(body?.content)) if (isObject(block)) places.block(block)
      break
    case "openai-responses":
      for (const item of arrayOf(body?.output)) if (isObject(item)) places.item(item)
      break
    case "ollama":
      if (body) places.line(body)
      break
    case "llamacpp":
      for (const answer of Array.isArray(json) ? json : [json])
        if (isObject(answer)) places.text("text", answer, "content", numberOf(answer.index) ?? 0)
      break
    default:
      break
  }
  return places.all
}

class Places {
  readonly all: AnswerPlace[] = []
  readonly #calls = new Map<number, number>()

  text(type: TextType, holder: JsonObject, name: string, index = 0): void {
    const text = stringOf(holder[name])
    if (!text) return
    this.all.push({
      delta: { type, index, text },
      set: (changed) => {
        holder[name] = changed
      },
    })
  }

  call(
    head: { id?: JsonValue | undefined; name?: JsonValue | undefined },
    holder: JsonObject,
    field: string,
    index = 0,
  ) {
    const call = this.#calls.get(index) ?? 0
    this.#calls.set(index, call + 1)
    const value = holder[field]
    const json = argumentsText(value)
    this.all.push({
      delta: { type: "toolCall", index, call, id: stringOf(head.id), name: stringOf(head.name), arguments: json },
      set: (changed) => {
        holder[field] = isObject(value) ? argumentsObject(changed) : changed
      },
    })
  }

  choice(choice: JsonObject): void {
    const index = numberOf(choice.index) ?? 0
    const message = objectOf(choice.message) ?? objectOf(choice.delta)
    if (!message) {
      this.text("text", choice, "text", index)
      return
    }
    this.#reasoning(message, index)
    this.text("text", message, "content", index)
    for (const part of arrayOf(message.content)) if (isObject(part)) this.text("text", part, "text", index)
    this.text("refusal", message, "refusal", index)
    for (const call of arrayOf(message.tool_calls)) {
      const entry = objectOf(call)
      const inner = objectOf(entry?.function) ?? objectOf(entry?.custom)
      if (entry && inner)
        this.call({ id: entry.id, name: inner.name }, inner, entry.function ? "arguments" : "input", index)
    }
    const legacy = objectOf(message.function_call)
    if (legacy) this.call(legacy, legacy, "arguments", index)
  }

  /** The same text may stand under two names. */
  #reasoning(message: JsonObject, index: number): void {
    const names = ["reasoning_content", "reasoning"].filter((name) => stringOf(message[name]))
    const [first] = names
    if (first === undefined) return
    const text = stringOf(message[first]) ?? ""
    this.all.push({
      delta: { type: "reasoning", index, text },
      set: (changed) => {
        for (const name of names) message[name] = changed
        // OpenRouter says it a third time; an edited text must not stand there as it was.
        delete message.reasoning_details
      },
    })
  }

  block(block: JsonObject): void {
    if (block.type === "text") this.text("text", block, "text")
    if (block.type === "thinking") this.text("reasoning", block, "thinking")
    if (block.type === "tool_use") this.call(block, block, "input")
  }

  item(item: JsonObject): void {
    if (item.type === "function_call") this.call({ id: item.call_id ?? item.id, name: item.name }, item, "arguments")
    if (item.type === "custom_tool_call") this.call({ id: item.call_id ?? item.id, name: item.name }, item, "input")
    const parts = [...arrayOf(item.content), ...arrayOf(item.summary)].filter(isObject)
    for (const part of parts) {
      if (item.type === "reasoning") this.text("reasoning", part, "text")
      else if (part.type === "refusal") this.text("refusal", part, "refusal")
      else if (item.type === "message") this.text("text", part, "text")
    }
  }

  line(body: JsonObject): void {
    const message = objectOf(body.message)
    const holder = message ?? body
    this.text("reasoning", holder, "thinking")
    this.text("text", holder, message ? "content" : "response")
    for (const call of arrayOf(holder.tool_calls)) {
      const inner = objectOf(objectOf(call)?.function)
      if (inner) this.call({ id: objectOf(call)?.id, name: inner.name }, inner, "arguments")
    }
  }
}
