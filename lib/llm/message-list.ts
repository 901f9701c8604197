/**
 * A conversation as the body's own list of messages, in the dialects that have one: what such a list is, and the system
 * prompt within it.
 */
import { isObject, type JsonObject, type JsonValue } from "../base/json.ts"
import { areParts, textOf } from "./message-text.ts"
import type { Message } from "./model.ts"

const SYSTEM_ROLES = new Set(["system", "developer"])

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
