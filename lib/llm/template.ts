/**
 * Conversations as the raw prompts that models were trained on, and the way back: answers without the marks of their
 * format. A ChatTemplate is one such format; DeepSeek-Coder's instruct format is the first, a further one is another
 * value of the same shape. Pure. Which host wants which form is the caller's to know.
 */
import { arrayOf, isObject, type JsonValue, stringOf } from "./json.ts"
import type { Message } from "./model.ts"

export interface RenderedPrompt {
  /** Without the token that begins every text: servers add it themselves, and twice spoils the answer. */
  readonly prompt: string
  /** Strings at which the server is to stop. */
  readonly stop: string[]
}

export interface RenderOptions {
  /** Instead of the template's own system prompt, where the conversation has none. "" for none at all. */
  system?: string
}

export interface ChatTemplate {
  readonly name: string
  readonly stop: readonly string[]
  /** What StopFilter cuts at: the stop strings, and the line breaks that the format puts before them. */
  readonly cut: readonly string[]
  render(messages: readonly Message[], options?: RenderOptions): RenderedPrompt
}

const END_OF_TURN = "<|EOT|>"
const INSTRUCTION = "### Instruction:"
const RESPONSE = "### Response:"
const STOP = [END_OF_TURN, INSTRUCTION, "<｜end▁of▁sentence｜>"]

const DEEPSEEK_SYSTEM =
  "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and you " +
  "only answer questions related to computer science. For politically sensitive questions, security and privacy " +
  "issues, and other non-computer science questions, you will refuse to answer"

// What a completions server reads as control tokens wherever it stands, and the lines that begin a turn.
const CONTROL_TOKENS = /<(?=\|EOT\||｜(?:begin▁of▁sentence|end▁of▁sentence|fim▁begin|fim▁hole|fim▁end)｜>)/g
const TURN_LINES = /^(?=### (?:Instruction|Response):[ \t]*$)/gm

// Answers of hosts that do not stop at the mark come back in the history with it.
const ENDED_TURN = /\n?<\|EOT\|>\s*$/

/** DeepSeek-Coder instruct v1. Source: the chat template in its tokenizer_config.json. */
export const DEEPSEEK_CODER: ChatTemplate = {
  name: "deepseek-coder-instruct",
  stop: STOP,
  cut: STOP.flatMap((stop) => [`\n${stop}`, stop]),
  render: renderDeepseekCoder,
}

/**
 * As the model's own template renders it, save that a line break follows every system text (the template forgets it).
 * Every role but user, system and developer speaks as the model. System texts stand where they stand in the list.
 */
export function renderDeepseekCoder(messages: readonly Message[], options: RenderOptions = {}): RenderedPrompt {
  let prompt = messages.some(isSystem) ? "" : systemLine(options.system ?? DEEPSEEK_SYSTEM)
  for (const message of messages) {
    const text = textOf(message.content)
    if (isSystem(message)) prompt += systemLine(text)
    else if (message.role === "user") prompt += `${INSTRUCTION}\n${asText(text)}\n`
    else prompt += `${RESPONSE}\n${asText(text.replace(ENDED_TURN, ""))}\n${END_OF_TURN}\n`
  }
  return { prompt: `${prompt}${RESPONSE}\n`, stop: [...STOP] }
}

function isSystem(message: Message): boolean {
  return message.role === "system" || message.role === "developer"
}

function systemLine(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`
}

/**
 * Keeps a message from speaking for another. A file or a web page in it may hold "<|EOT|>", which servers take for the
 * end of the turn, or a line "### Response:". A space makes other tokens of them, and people and models read on; leaving
 * them out would hide from the model what its user asks about. System texts are the operator's and stay as they are:
 * examples written in the very format are usual there.
 */
function asText(text: string): string {
  return text.replace(CONTROL_TOKENS, "< ").replace(TURN_LINES, " ")
}

/** The text of a message's content: its text parts, a line each; other kinds have none. */
export function textOf(content: JsonValue | undefined): string {
  if (typeof content === "string") return content
  return arrayOf(content)
    .map((part) => (isObject(part) ? stringOf(part.text) : undefined))
    .filter((text) => text !== undefined)
    .join("\n")
}

/** All non-empty contents in one text, a space between them, roles left out: for models without a chat format. */
export function flattenMessages(messages: readonly Message[]): string {
  return messages
    .map((message) => textOf(message.content))
    .filter((text) => text !== "")
    .join(" ")
}

/** A whole answer up to the first of the stop strings. */
export function cleanOutput(text: string, stops: readonly string[] = DEEPSEEK_CODER.cut): string {
  const filter = new StopFilter(stops)
  return filter.push(text) + filter.finish()
}

/**
 * Cuts a streamed answer at the first stop string, also one that comes in pieces: text that may be the beginning of a
 * stop string is held back, never more than the longest of them less one character.
 */
export class StopFilter {
  readonly #stops: readonly string[]
  #held = ""
  #stopped = false

  constructor(stops: readonly string[] = DEEPSEEK_CODER.cut) {
    this.#stops = stops.filter((stop) => stop !== "")
  }

  /** Whether a stop string has come. Everything after it is dropped. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** The text that is certain now; may be empty. */
  push(text: string): string {
    if (this.#stopped) return ""
    const all = this.#held + text
    const found = firstStop(all, this.#stops)
    if (found !== undefined) {
      this.#stopped = true
      this.#held = ""
      return all.slice(0, found)
    }
    const held = Math.max(0, ...this.#stops.map((stop) => overlap(all, stop)))
    this.#held = all.slice(all.length - held)
    return all.slice(0, all.length - held)
  }

  /** The answer has ended: what was held back was no stop string. */
  finish(): string {
    const rest = this.#held
    this.#held = ""
    return rest
  }
}

/** Where the stop string that is complete first begins; the longer of two that end together. */
function firstStop(text: string, stops: readonly string[]): number | undefined {
  let first: { start: number; end: number } | undefined
  for (const stop of stops) {
    const start = text.indexOf(stop)
    const end = start + stop.length
    if (start === -1) continue
    if (first === undefined || end < first.end || (end === first.end && start < first.start)) first = { start, end }
  }
  return first?.start
}

/** How many of the last characters of `text` are the first of `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length
  }
  return 0
}
