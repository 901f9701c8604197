/**
 * A request to OpenAI's Responses API. The system prompt is `instructions`; the messages are the body's own `input`: a
 * text, or a list of items, of which calls, their results and reasoning are no messages and have no role. They get one
 * here that is not written: whoever walks a conversation may rely on it. Source: openai-node, ResponseCreateParams.
 */
import { isObject, type JsonObject, type JsonValue, stringOf } from "../../base/json.ts"
import { areParts, textOf } from "../message-text.ts"
import type { ContentPart, LlmRequest, Message } from "../model.ts"
import { RequestView } from "../request-view.ts"
import { RESPONSES_TOOLS } from "../tools.ts"

const NAMES = {
  maxTokens: "max_output_tokens",
  stop: { advice: "cut the answer with flow.response.transformDeltas" },
  tools: RESPONSES_TOOLS,
  system: "instructions",
}

/** Items that tell what the client's program found; every other kind without a role is the model's. */
const RESULT = /_output$|_response$/

export class ResponsesRequest extends RequestView {
  override readonly dialect = "openai-responses"

  constructor(body: JsonObject) {
    super(body, NAMES)
  }

  /** A text is one user message, a list is the body's own. */
  override get messages(): Message[] {
    const { input } = this.body
    if (typeof input === "string") return [inputMessage(this.body)]
    return Array.isArray(input) && input.every(isItem) ? input : []
  }

  override set messages(value: Message[]) {
    this.body.input = value
  }
}

/** A request names a model, a stored prompt or an earlier answer, and has an input or continues one. */
export function parseResponsesRequest(body: JsonObject): LlmRequest | undefined {
  const { input, model, prompt, previous_response_id: previous } = body
  const named = typeof model === "string" || isObject(prompt)
  const asks =
    typeof input === "string" ||
    (Array.isArray(input) && input.every((item) => isObject(item) && areParts(item.content)))
  return named && (asks || isObject(prompt) || typeof previous === "string") ? new ResponsesRequest(body) : undefined
}

function inputMessage(body: JsonObject): Message {
  return {
    role: "user",
    get content(): string | ContentPart[] | null {
      return stringOf(body.input) ?? ""
    },
    set content(value: string | ContentPart[] | null) {
      body.input = textOf(value)
    },
  }
}

/** Whether `value` is an item; gives it a role that JSON does not see where it has none. */
function isItem(value: JsonValue): value is Message {
  if (!isObject(value)) return false
  if (typeof value.role === "string") return true
  const role = RESULT.test(stringOf(value.type) ?? "") ? "tool" : "assistant"
  return Reflect.defineProperty(value, "role", { value: role, enumerable: false, writable: true, configurable: true })
}
