/**
 * The two requests of Ollama's own API: a conversation (/api/chat) and a prompt (/api/generate). Parameters stand in
 * `options`, and an answer streams unless `stream` is false. Source: Ollama, docs/api.md and api/types.go.
 */
import { isObject, type JsonObject, type JsonValue, objectOf } from "../../base/json.ts"
import { messagesOf, setSystemIn, systemIn } from "../message-list.ts"
import type { LlmRequest } from "../model.ts"
import { RequestView } from "../request-view.ts"
import { CHAT_TOOLS } from "../tools.ts"

const CHAT = { maxTokens: "num_predict", stop: "stop", tools: CHAT_TOOLS }
const GENERATE = { ...CHAT, tools: { advice: "send them to /api/chat" }, system: "system", hasPrompt: true }

abstract class OllamaRequest extends RequestView {
  override readonly dialect = "ollama"

  protected override get parameters(): JsonObject | undefined {
    return objectOf(this.body.options)
  }

  protected override assignParameter(key: string, value: JsonValue | undefined): void {
    if (value !== undefined && !isObject(this.body.options)) this.body.options = {}
    super.assignParameter(key, value)
  }

  override get stream(): boolean {
    return this.body.stream !== false
  }

  override set stream(value: boolean) {
    this.body.stream = value
  }
}

class OllamaChatRequest extends OllamaRequest {
  /** The text of the first message whose role is `system`. */
  override get system(): string | undefined {
    return systemIn(this.messages)
  }

  override set system(value: string | undefined) {
    if (value !== undefined && !Array.isArray(this.body.messages)) this.body.messages = []
    setSystemIn(this.messages, value)
  }
}

/** `template`, `raw`, `context`, `suffix` and `images` are the client's and the server's affair. */
export class OllamaGenerateRequest extends OllamaRequest {}

/**
 * The request in `body`. Other programs serve /api/chat, too, so a model is demanded; without messages or a prompt it
 * asks Ollama to load the model. Where the path is neither, the body decides.
 */
export function parseOllamaRequest(body: JsonObject, plainPath: string): LlmRequest | undefined {
  if (typeof body.model !== "string") return undefined
  if (plainPath.endsWith("/generate") || (body.messages === undefined && body.prompt !== undefined))
    return body.prompt === undefined || typeof body.prompt === "string"
      ? new OllamaGenerateRequest(body, GENERATE)
      : undefined
  const isList = Array.isArray(body.messages) && messagesOf(body).length === body.messages.length
  return body.messages === undefined || isList ? new OllamaChatRequest(body, CHAT) : undefined
}
