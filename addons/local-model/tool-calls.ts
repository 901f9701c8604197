/**
 * Tells a model's calls from its texts as they come: Hermes and Qwen write <tool_call>{...}</tool_call>, Llama 3 an answer that is
 * JSON, Mistral a list behind [TOOL_CALLS]. What is no call after all is text, and nothing is lost. Pure.
 */
import { isObject, type JsonObject } from "llmproxy"
import type { ToolStyle } from "./prompt.ts"

export interface Call {
  readonly name: string
  /** JSON text. */
  readonly arguments: string
}

export interface Told {
  readonly text: string
  readonly calls: readonly Call[]
}

/** Characters of one call; longer is text. */
const CALL_CHARS_MAX = 262_144
const NOTHING: Told = { text: "", calls: [] }

const BEGIN = "<tool_call>"
const END = "</tool_call>"
const MISTRAL = "[TOOL_CALLS]"
const PYTHON = "<|python_tag|>"

export class CallReader {
  readonly #style: ToolStyle
  #held = ""
  /** Llama 3's: it began as text, so that it is text. */
  #isText = false
  /** Hermes': a call has just ended, and the line behind it is nobody's text. */
  #isBehind = false

  constructor(style: ToolStyle) {
    this.#style = style
  }

  push(text: string): Told {
    if (this.#isText) return { text, calls: [] }
    this.#held += text
    if (this.#held.length > CALL_CHARS_MAX) return this.#asText()
    if (this.#style === "hermes") return this.#hermes()
    return this.#style === "llama3" ? this.#llama() : this.#mistral()
  }

  /** The answer has ended. */
  finish(): Told {
    const held = this.#held
    this.#held = ""
    if (held === "" || this.#isText) return { text: held, calls: [] }
    const calls = callsIn(bodyOf(held, this.#style))
    return calls === undefined ? { text: held, calls: [] } : { text: "", calls }
  }

  #asText(): Told {
    const text = this.#held
    this.#held = ""
    this.#isText = true
    return { text, calls: [] }
  }

  #hermes(): Told {
    let text = ""
    const calls: Call[] = []
    for (;;) {
      if (this.#isBehind) this.#held = this.#held.trimStart()
      this.#isBehind &&= this.#held === ""
      const begin = this.#held.indexOf(BEGIN)
      const end = begin < 0 ? -1 : this.#held.indexOf(END, begin)
      if (end < 0) {
        const kept = begin < 0 ? this.#held.length - overlap(this.#held, BEGIN) : begin
        text += this.#held.slice(0, kept)
        this.#held = this.#held.slice(kept)
        return { text, calls }
      }
      const found = callsIn(this.#held.slice(begin + BEGIN.length, end))
      text += found === undefined ? this.#held.slice(0, end + END.length) : this.#held.slice(0, begin)
      calls.push(...(found ?? []))
      this.#isBehind = found !== undefined
      this.#held = this.#held.slice(end + END.length)
    }
  }

  /** It is a call from its first character, or none. */
  #llama(): Told {
    const begun = this.#held.trimStart()
    const isOpen = begun === "" || begun.startsWith("{") || PYTHON.startsWith(begun) || begun.startsWith(PYTHON)
    return isOpen ? NOTHING : this.#asText()
  }

  #mistral(): Told {
    const begin = this.#held.indexOf(MISTRAL)
    const kept = begin < 0 ? this.#held.length - overlap(this.#held, MISTRAL) : begin
    const text = this.#held.slice(0, kept)
    this.#held = this.#held.slice(kept)
    return { text, calls: [] }
  }
}

function bodyOf(held: string, style: ToolStyle): string {
  const text = held.trim()
  if (style === "hermes") return text.startsWith(BEGIN) ? text.slice(BEGIN.length) : ""
  if (style === "mistral") return text.startsWith(MISTRAL) ? text.slice(MISTRAL.length) : ""
  return text.startsWith(PYTHON) ? text.slice(PYTHON.length) : text
}

/** Undefined: it is not all calls. */
function callsIn(text: string): Call[] | undefined {
  const value = valueIn(text) ?? valueIn(`[${text.replaceAll(/\}\s*;\s*\{/g, "},{")}]`)
  const list = Array.isArray(value) ? value : [value]
  const calls = list.flatMap((one) => callIn(one) ?? [])
  return calls.length > 0 && calls.length === list.length ? calls : undefined
}

function callIn(value: unknown): Call | undefined {
  if (!isObject(value) || typeof value.name !== "string" || value.name === "") return undefined
  const given: JsonObject[string] = value.arguments ?? value.parameters ?? {}
  return { name: value.name, arguments: typeof given === "string" ? given : JSON.stringify(given) }
}

function valueIn(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** How many of the last characters of `text` are the first of `mark`. */
function overlap(text: string, mark: string): number {
  for (let length = Math.min(text.length, mark.length - 1); length > 0; length--)
    if (text.endsWith(mark.slice(0, length))) return length
  return 0
}
