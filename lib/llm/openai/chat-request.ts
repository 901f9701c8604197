/**
 * A chat completions request. `messages` is the body's own array, so the provider's JSON is what an addon sees and
 * changes; the system prompt is the text of the first message whose role is `system` or `developer`.
 * Source: OpenAI's openapi.yaml, CreateChatCompletionRequest.
 */

import { type JsonObject, numberOf } from "../../base/json.ts"
import { setSystemIn, systemIn } from "../message-list.ts"
import { CHAT_TOOLS } from "../tools.ts"
import { OpenAiRequest } from "./request.ts"

export class ChatRequest extends OpenAiRequest {
  override readonly dialect = "openai-chat"

  constructor(body: JsonObject, path: string) {
    super(body, path, { tools: CHAT_TOOLS })
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
