/**
 * A chat completions request. `messages` is the body's own array, so the provider's JSON is what an addon sees and
 * changes; the system prompt is the text of the first message whose role is `system` or `developer`.
 * Source: OpenAI's openapi.yaml, CreateChatCompletionRequest.
 */

import { isObject, type JsonObject, type JsonValue, numberOf } from "../../base/json.ts"
import { areParts, textOf } from "../message-text.ts"
import type { Message } from "../model.ts"
import { CHAT_TOOLS } from "../tools.ts"
import { OpenAiRequest } from "./request.ts"

const SYSTEM_ROLES = new Set(["system", "developer"])

export class ChatRequest extends OpenAiRequest {
  override readonly dialect = "openai-chat"

  constructor(body: JsonObject, path: string) {
    super(body, path, CHAT_TOOLS)
  }

  get messages(): Message[] {
    return messagesOf(this.body)
  }

  set messages(value: Message[]) {
    this.body.messages = value
  }

  override get system(): string | undefined {
    return systemIn(this.messages)
  }

  override set system(value: string | undefined) {
    setSystemIn(this.messages, value)
  }

  /** `max_completion_tokens`, else the older `max_tokens`, which local servers know. */
  override get maxTokens(): number | undefined {
    return numberOf(this.body.max_completion_tokens) ?? numberOf(this.body.max_tokens)
  }

  /** Writes the names that the body has, so that no reader finds an old value; `max_completion_tokens` if it has none. */
  override set maxTokens(value: number | undefined) {
    const old = this.body.max_tokens !== undefined
    if (old) this.assign("max_tokens", value)
    if (!old || this.body.max_completion_tokens !== undefined) this.assign("max_completion_tokens", value)
  }
}

/** Whether `body` has what every chat request has: a list of objects with a role. */
export function isChatBody(body: JsonObject): boolean {
  return Array.isArray(body.messages) && body.messages.every(isMessage)
}

/** The body's own list of messages; none where it is not one. */
export function messagesOf(body: JsonObject): Message[] {
  const { messages } = body
  return Array.isArray(messages) && messages.every(isMessage) ? messages : []
}

/** The text of the first system message. */
export function systemIn(messages: readonly Message[]): string | undefined {
  const message = messages.find(isSystem)
  return message && textOf(message.content)
}

/** Edits the text of the first system message, inserts one in front, or removes it. Its role stays. */
export function setSystemIn(messages: Message[], value: string | undefined): void {
  const at = messages.findIndex(isSystem)
  const message = messages[at]
  if (value === undefined) {
    if (message) messages.splice(at, 1)
  } else if (!message) {
    messages.unshift({ role: "system", content: value })
  } else {
    setText(message, value)
  }
}

function setText(message: Message, text: string): void {
  const part = Array.isArray(message.content) && message.content.length === 1 ? message.content[0] : undefined
  if (part?.type === "text") Object.assign(part, { text })
  else message.content = text
}

function isMessage(value: JsonValue): value is Message {
  return isObject(value) && typeof value.role === "string" && areParts(value.content)
}

function isSystem(message: Message): boolean {
  return SYSTEM_ROLES.has(message.role)
}
