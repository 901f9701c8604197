/**
 * What kind of error a provider's words mean. Codes come first, then sentences, then the status: local servers answer
 * 500 for a model that is not loaded and 200 for an error inside a stream, so the status alone says little.
 */
import { contextOverflow, type ErrorWords } from "./context-errors.ts"
import type { LlmErrorKind } from "./model.ts"

const SEARCHED_CHARS_MAX = 4_096

const BY_CODE: ReadonlyMap<string, LlmErrorKind> = new Map([
  ["insufficient_quota", "quota"],
  ["billing_hard_limit_reached", "quota"],
  ["billing_not_active", "quota"],
  ["billing_error", "quota"], // Anthropic
  ["model_not_found", "model_not_found"],
  ["deploymentnotfound", "model_not_found"], // Azure
  ["invalid_api_key", "auth"],
  ["authentication_error", "auth"],
  ["permission_error", "auth"],
  ["rate_limit_exceeded", "rate_limit"],
  ["rate_limit_error", "rate_limit"],
  ["overloaded_error", "overloaded"],
])

// Lower case, in order of precedence.
const BY_PHRASE: readonly (readonly [RegExp, LlmErrorKind])[] = [
  [/exceeded your current quota|insufficient (?:balance|credits|quota)/, "quota"],
  [/loading model|model is (?:currently )?loading|currently loading/, "loading"],
  [/model .{0,200}(?:not found|does not exist|not loaded|isn't loaded)|no models? loaded/, "model_not_found"],
  [/^model: \S+$/, "model_not_found"], // Anthropic
  [/overloaded|server (?:is )?busy|at capacity/, "overloaded"],
]

const BY_STATUS: ReadonlyMap<number, LlmErrorKind> = new Map([
  [401, "auth"],
  [402, "quota"],
  [403, "auth"],
  [429, "rate_limit"],
  [503, "overloaded"],
  [529, "overloaded"],
])

const INVALID_REQUEST_TYPES = new Set(["invalid_request_error", "badrequesterror", "not_found_error", "notfounderror"])

/** The kind of an error. A numeric `code` (vLLM, llama.cpp, OpenRouter) stands for the status inside a stream. */
export function errorKind(status: number, error: ErrorWords): LlmErrorKind {
  if (contextOverflow(error)) return "context_length"
  const code = error.code?.toLowerCase() ?? ""
  const type = error.type?.toLowerCase() ?? ""
  const byCode = BY_CODE.get(code) ?? BY_CODE.get(type)
  if (byCode) return byCode
  const effective = status >= 400 || !/^[45]\d\d$/.test(code) ? status : Number(code)
  if (effective === 401 || effective === 403) return "auth"
  const message = error.message.slice(0, SEARCHED_CHARS_MAX).toLowerCase()
  const byPhrase = BY_PHRASE.find(([phrase]) => phrase.test(message))
  if (byPhrase) return byPhrase[1]
  if (contextOverflow(error, effective)) return "context_length"
  const byStatus = BY_STATUS.get(effective)
  if (byStatus) return byStatus
  const invalid = (effective >= 400 && effective < 500) || INVALID_REQUEST_TYPES.has(type)
  return invalid ? "invalid_request" : "other"
}
