/**
 * What a chat template is: a conversation as the raw prompt that a model was trained on, and the strings at which its
 * answer ends. Also the parts that the formats share: what of a message is text, and how a message is kept from
 * speaking for another. The formats are the other files of this folder. Pure.
 */

import { arrayOf, isObject, stringOf } from "../../base/json.ts"
import { textOf } from "../message-text.ts"
import type { Message } from "../model.ts"
import { argumentsText } from "../tool-arguments.ts"

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
  /** Throws an Error where the template refuses the conversation. */
  render(messages: readonly Message[], options?: RenderOptions): RenderedPrompt
}

/** A turn of a conversation. What came of a tool is nobody's words: a format without a place for it has it said by the user. */
export interface Turn {
  readonly role: "system" | "user" | "assistant" | "tool"
  readonly text: string
  /** What the model called in this turn; no other role calls anything. */
  readonly calls: readonly Call[]
}

export interface Call {
  readonly name: string
  /** JSON, as the model wrote it. */
  readonly arguments: string
}

const TOOL_ROLES: ReadonlySet<string> = new Set(["tool", "function"])

/** Only "assistant" speaks as the model. Whoever has another role, known or not, is heard by it. */
export function turnsOf(messages: readonly Message[]): Turn[] {
  return messages.map((message) => ({ role: roleOf(message), text: textOf(message.content), calls: callsOf(message) }))
}

function roleOf(message: Message): Turn["role"] {
  if (isSystem(message)) return "system"
  if (message.role === "assistant") return "assistant"
  return TOOL_ROLES.has(message.role) ? "tool" : "user"
}

function callsOf(message: Message): Call[] {
  if (message.role !== "assistant") return []
  const called = arrayOf(message.tool_calls).map((call) => (isObject(call) ? call.function : undefined))
  return [...called, message.function_call].filter(isObject).map((call) => ({
    name: stringOf(call.name) ?? "",
    arguments: argumentsText(call.arguments),
  }))
}

/** The three voices of formats that know no tools: calls are left out, and what came of them is said by the user. */
export interface Words {
  readonly role: "system" | "user" | "assistant"
  readonly text: string
}

export function wordsOf(turns: readonly Turn[]): Words[] {
  return turns.map(({ role, text }) => ({ role: voiceOf(role), text }))
}

export function voiceOf(role: Turn["role"]): Words["role"] {
  return role === "tool" ? "user" : role
}

export function isSystem(message: Message): boolean {
  return message.role === "system" || message.role === "developer"
}

/**
 * Keeps a message from speaking for another. A file or a web page in it may hold "<|EOT|>", which servers take for the
 * end of the turn. A space makes other tokens of them, and people and models read on; leaving them out would hide from
 * the model what its user asks about. System texts are the operator's and stay as they are: examples written in the
 * very format are usual there. `tokens` matches the first character of each control token.
 */
export function asText(text: string, tokens: RegExp): string {
  return text.replace(tokens, (first) => `${first} `)
}

/** All non-empty contents in one text, a space between them, roles left out: for models without a chat format. */
export function flattenMessages(messages: readonly Message[]): string {
  return messages
    .map((message) => textOf(message.content))
    .filter((text) => text !== "")
    .join(" ")
}
