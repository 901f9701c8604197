/**
 * A raw prompt seen as messages: one user message whose content is the prompt, so that editing it edits the body. For
 * the dialects without a conversation. A prompt of token ids has no text, so it has no messages.
 */
import { FlowError } from "../base/errors.ts"
import { isObject, type JsonObject, type JsonValue } from "../base/json.ts"
import { textOf } from "./message-text.ts"
import type { ContentPart, DialectName, Message } from "./model.ts"

type PromptContent = string | ContentPart[] | null

/** One user message: text, or text parts for a list of prompts. Assign to `messages` to change the list. */
export function promptMessages(body: JsonObject): Message[] {
  return contentOf(body.prompt) === undefined ? [] : [promptMessage(body)]
}

/** The texts of the messages, a blank line between them: a prompt has no roles. */
export function promptOf(messages: readonly Message[]): string {
  return messages.map((message) => textOf(message.content)).join("\n\n")
}

/** Whether a body has what every request with a raw prompt has. */
export function hasPrompt(body: JsonObject): boolean {
  return typeof body.prompt === "string" || Array.isArray(body.prompt)
}

/** A prompt has no place for a system prompt: setting one throws, rather than losing it silently. */
export function refuseSystem(dialect: DialectName, value: string | undefined): void {
  if (value === undefined) return
  const advice = "put the text into the prompt: flow.llm.request.messages"
  throw new FlowError("addon", "no-system-prompt", `set the system prompt: ${dialect} has none; ${advice}`)
}

function promptMessage(body: JsonObject): Message {
  return {
    role: "user",
    get content(): PromptContent {
      return contentOf(body.prompt) ?? ""
    },
    set content(value: PromptContent) {
      const prompt = Array.isArray(value) ? value.map((part) => part.text ?? "") : (value ?? "")
      if (isObject(body.prompt)) body.prompt.prompt_string = Array.isArray(prompt) ? prompt.join("\n") : prompt
      else body.prompt = prompt
    },
  }
}

/** The text of a prompt; undefined for token ids. llama.cpp has it in an object where images stand beside it. */
function contentOf(prompt: JsonValue | undefined): PromptContent | undefined {
  if (isObject(prompt) && typeof prompt.prompt_string === "string") return prompt.prompt_string
  if (typeof prompt === "string") return prompt
  if (!Array.isArray(prompt) || !prompt.every((text) => typeof text === "string")) return undefined
  const [only] = prompt
  return prompt.length === 1 ? only : prompt.map((text) => ({ type: "text", text }))
}
