/** A request as a dialect gives it, without a dialect: enough for what counts tokens. */
import type { JsonObject, JsonValue } from "../../../lib/base/json.ts"
import type { ContentPart, DialectName, LlmRequest, Message } from "../../../lib/llm/model.ts"
import { CHAT_TOOLS, toolsOf } from "../../../lib/llm/tools.ts"

export interface RequestShape {
  model?: string
  messages?: Message[]
  content?: ContentPart[]
  tools?: JsonValue[]
  body?: JsonObject
  dialect?: DialectName
  system?: string
}

export function requestOf(shape: RequestShape): LlmRequest {
  return {
    dialect: shape.dialect ?? "openai-chat",
    body: shape.body ?? {},
    model: shape.model ?? "gpt-4o",
    system: shape.system,
    messages: shape.messages ?? (shape.content === undefined ? [] : [{ role: "user", content: shape.content }]),
    tools: toolsOf(shape.tools, CHAT_TOOLS),
    stream: false,
    maxTokens: undefined,
    temperature: undefined,
    topP: undefined,
    stop: undefined,
    n: 1,
  }
}
