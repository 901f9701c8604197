/** What a client is told in an upstream's place: in the form of the API that it speaks, whatever the path. */
import type { Flow, JsonObject } from "llmproxy"
import type { Speech } from "./speech.ts"

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
}

/** Of the statuses that are said here, Anthropic's and Google's words. */
const WORDS: Readonly<Record<number, readonly [anthropic: string, google: string]>> = {
  400: ["invalid_request_error", "INVALID_ARGUMENT"],
  401: ["authentication_error", "UNAUTHENTICATED"],
  403: ["permission_error", "PERMISSION_DENIED"],
  404: ["not_found_error", "NOT_FOUND"],
  413: ["request_too_large", "INVALID_ARGUMENT"],
  501: ["api_error", "UNIMPLEMENTED"],
  503: ["api_error", "UNAVAILABLE"],
}

export function refuse(flow: Flow, speech: Speech, refusal: Refusal): void {
  flow.route({ name: "models", reason: refusal.code })
  flow.respond({ status: refusal.status, json: errorBody(speech, refusal) })
}

export function errorBody(speech: Speech, { status, code, message: said }: Refusal): JsonObject {
  const message = `llmproxy: ${said}`
  const [anthropic, google] = WORDS[status] ?? ["api_error", "UNKNOWN"]
  switch (speech) {
    case "anthropic-messages":
      return { type: "error", error: { type: anthropic, message } }
    case "ollama":
      return { error: message }
    case "gemini":
      return { error: { code: status, message, status: google } }
    case "openai":
    case "llamacpp":
      return { error: { message, type: status >= 500 ? "api_error" : "invalid_request_error", param: null, code } }
  }
}
