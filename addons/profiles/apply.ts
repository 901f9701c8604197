/** What a profile makes of a request: its parameters in the dialect's own names, its system prompt, its template. Pure. */
import { isObject, type JsonObject, type JsonValue, type LlmRequest } from "llmproxy"
import type { Profile } from "./profile.ts"
import { conversationIn, render } from "./template.ts"

/** Dialects in which a body's fields have OpenAI's names; others have few of them, or other ones. */
const OPENAI_FIELDS: ReadonlySet<string> = new Set(["openai-chat", "openai-completions", "llamacpp"])
/** Of the rest, what they have by the same name. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  "anthropic-messages": ["temperature", "top_p", "top_k"],
  "openai-responses": ["temperature", "top_p"],
}
/** Dialects with a place for a system prompt. */
const WITH_SYSTEM: ReadonlySet<string> = new Set(["openai-chat", "anthropic-messages", "ollama", "openai-responses"])
/** Dialects whose requests are a list of messages that a text can take the place of. */
const CHATS: ReadonlySet<string> = new Set(["openai-chat", "anthropic-messages", "ollama"])

/** Sets them. `context`: tokens that the model takes; an answer that long is no limit, and is left to the model. */
export function applyParameters(request: LlmRequest, profile: Profile, context: number | undefined): void {
  for (const [name, value] of Object.entries(profile.defaults)) set(request, name, value, { context, isDefault: true })
  for (const [name, value] of Object.entries(profile.overrides))
    set(request, name, value, { context, isDefault: false })
}

interface How {
  readonly context: number | undefined
  /** What the client says counts. */
  readonly isDefault: boolean
}

function set(request: LlmRequest, name: string, value: JsonValue | undefined, { context, isDefault }: How): void {
  const { dialect } = request
  if (value === undefined) return
  if (name === "max_tokens") {
    if (typeof value !== "number" || (context !== undefined && value >= context)) return
    if (isDefault && request.maxTokens !== undefined) return
    // By its older name, which hosts on one's own machine know, where the client has none.
    if (dialect === "openai-chat" && request.maxTokens === undefined) request.body.max_tokens = value
    else request.maxTokens = value
    return
  }
  const holder = holderOf(request)
  if (name === "stop" && dialect === "anthropic-messages") {
    const words = (Array.isArray(value) ? value : [value]).filter((word) => typeof word === "string")
    if (!isDefault || request.stop === undefined) request.stop = words
    return
  }
  if (dialect !== "ollama" && !OPENAI_FIELDS.has(dialect) && !(FIELDS[dialect] ?? []).includes(name)) return
  if (!isDefault || holder[name] === undefined) holder[name] = value
}

/** Where parameters stand: Ollama's in `options`. */
function holderOf({ dialect, body }: LlmRequest): JsonObject {
  if (dialect !== "ollama") return body
  const options: JsonObject = isObject(body.options) ? body.options : {}
  body.options = options
  return options
}

/** Puts the profile's system prompt before the client's own. */
export function applySystem(request: LlmRequest, { system }: Profile): void {
  if (system === undefined || !WITH_SYSTEM.has(request.dialect)) return
  request.system = request.system === undefined || request.system === "" ? system : `${system}\n\n${request.system}`
}

/**
 * Puts one text in the place of the messages. Undefined, and nothing is changed, where that cannot be: no template, tools, images, another
 * dialect. Resolves to that text.
 */
export function applyTemplate(request: LlmRequest, { template, system }: Profile): string | undefined {
  if (template === undefined || !CHATS.has(request.dialect) || !Array.isArray(request.body.messages)) return undefined
  const conversation = conversationIn(request.messages)
  if (conversation === undefined || (request.tools ?? []).length > 0) return undefined
  const isApart = request.dialect === "anthropic-messages"
  const before = [system, isApart ? request.system : undefined, conversation.system]
  const said = render(template.text, conversation, template.isPython)
  const text = [...before.filter((part) => part !== undefined && part !== ""), said].join("\n\n")
  if (isApart) request.system = undefined
  request.messages = [{ role: "user", content: text }]
  return text
}
