/**
 * One item of a response as we write it: opened, told in pieces, closed and then said whole, with the events that
 * OpenAI's clients demand for each step. Its state can follow events that left as they came, so that an item which
 * another wrote half can be ended here. Source: openai-node, resources/responses and lib/responses.
 */
import { arrayOf, type JsonObject, numberOf, objectOf, stringOf } from "../../base/json.ts"

/** Writes an event of `type` with `fields` and the next sequence number. */
export type Emit = (type: string, fields: JsonObject) => string

export type PartKind = "text" | "refusal" | "reasoning"

interface PartShape {
  readonly item: "message" | "reasoning"
  readonly event: string
  readonly type: string
  readonly field: "text" | "refusal"
  readonly empty: JsonObject
  /** What the events of its text say besides. */
  readonly extra: JsonObject
}

export const PARTS: Readonly<Record<PartKind, PartShape>> = {
  text: {
    item: "message",
    event: "response.output_text",
    type: "output_text",
    field: "text",
    empty: { type: "output_text", text: "", annotations: [], logprobs: [] },
    extra: { logprobs: [] },
  },
  refusal: {
    item: "message",
    event: "response.refusal",
    type: "refusal",
    field: "refusal",
    empty: { type: "refusal", refusal: "" },
    extra: {},
  },
  reasoning: {
    item: "reasoning",
    event: "response.reasoning_text",
    type: "reasoning_text",
    field: "text",
    empty: { type: "reasoning_text", text: "" },
    extra: {},
  },
}

/** Items that call a tool: the name of their text, and the event that tells it. */
export const CALLS: ReadonlyMap<string, { readonly field: "arguments" | "input"; readonly event: string }> = new Map([
  ["function_call", { field: "arguments", event: "response.function_call_arguments" }],
  ["custom_tool_call", { field: "input", event: "response.custom_tool_call_input" }],
])

export class OutputItem {
  readonly index: number
  readonly #emit: Emit
  #item: JsonObject
  #open = true
  #parts: JsonObject[] = []
  /** The part that is open, and its text so far. */
  #part: { kind: PartKind; json: JsonObject; text: string } | undefined
  #arguments = ""

  constructor(emit: Emit, index: number, item: JsonObject) {
    this.#emit = emit
    this.index = index
    this.#item = item
  }

  get type(): string {
    return stringOf(this.#item.type) ?? ""
  }

  get open(): boolean {
    return this.#open
  }

  /** Of a call: its arguments so far. */
  get arguments(): string {
    return this.#arguments
  }

  /** The item, whole once it is closed. */
  get json(): JsonObject {
    return this.#item
  }

  begin(): string {
    return this.#emit("response.output_item.added", { output_index: this.index, item: this.#item })
  }

  text(kind: PartKind, text: string): string {
    const shape = PARTS[kind]
    let events = ""
    if (this.#part?.kind !== kind) {
      events = this.#closePart()
      this.#part = { kind, json: { ...shape.empty }, text: "" }
      events += this.#emit("response.content_part.added", { ...this.#place(), part: shape.empty })
    }
    if (this.#part) this.#part.text += text
    return events + this.#emit(`${shape.event}.delta`, { ...this.#place(), delta: text, ...shape.extra })
  }

  /** A source that the text names. */
  annotation(annotation: JsonObject): string {
    if (this.#part?.kind !== "text") return ""
    const annotations = arrayOf(this.#part.json.annotations)
    this.#part.json.annotations = [...annotations, annotation]
    const fields = { ...this.#place(), annotation_index: annotations.length, annotation }
    return this.#emit("response.output_text.annotation.added", fields)
  }

  piece(text: string): string {
    this.#arguments += text
    const call = CALLS.get(this.type)
    const fields = { item_id: this.#item.id, output_index: this.index, delta: text }
    return call ? this.#emit(`${call.event}.delta`, fields) : ""
  }

  /** Says the item whole. */
  close(): string {
    if (!this.#open) return ""
    this.#open = false
    let events = this.#closePart()
    const call = CALLS.get(this.type)
    if (call) {
      this.#item = { ...this.#item, [call.field]: this.#arguments }
      const whole = { item_id: this.#item.id, output_index: this.index, [call.field]: this.#arguments }
      events += this.#emit(`${call.event}.done`, { ...whole, name: this.#item.name })
    } else {
      this.#item = { ...this.#item, content: this.#parts }
    }
    if (this.#item.status !== undefined) this.#item.status = "completed"
    return events + this.#emit("response.output_item.done", { output_index: this.index, item: this.#item })
  }

  /** The item of a server's tool, as it ended. */
  replace(item: JsonObject): string {
    this.#open = false
    this.#item = item
    return this.#emit("response.output_item.done", { output_index: this.index, item })
  }

  /** Follows an event of this item that left as it came. */
  note(type: string, json: JsonObject): void {
    const delta = stringOf(json.delta) ?? ""
    if (type === "response.output_item.done") {
      this.#open = false
      this.#item = objectOf(json.item) ?? this.#item
    } else if (type === "response.content_part.added") {
      const part = objectOf(json.part) ?? {}
      const kind = KINDS.find((known) => PARTS[known].type === part.type)
      this.#part = kind && { kind, json: { ...part }, text: "" }
    } else if (type === "response.content_part.done") {
      this.#parts[numberOf(json.content_index) ?? this.#parts.length] = objectOf(json.part) ?? {}
      this.#part = undefined
    } else if (this.#part && type === `${PARTS[this.#part.kind].event}.delta`) {
      this.#part.text += delta
    } else if (type === `${CALLS.get(this.type)?.event}.delta`) {
      this.#arguments += delta
    }
  }

  #closePart(): string {
    const part = this.#part
    if (!part) return ""
    const { event, field, extra } = PARTS[part.kind]
    const json = { ...part.json, [field]: part.text }
    const place = this.#place()
    this.#parts.push(json)
    this.#part = undefined
    const done = this.#emit(`${event}.done`, { ...place, [field]: part.text, ...extra })
    return done + this.#emit("response.content_part.done", { ...place, part: json })
  }

  #place(): JsonObject {
    return { item_id: this.#item.id, output_index: this.index, content_index: this.#parts.length }
  }
}

const KINDS: readonly PartKind[] = ["text", "refusal", "reasoning"]
