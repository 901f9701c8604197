/** What a client is told that gets no answer, in OpenAI's words. Pure. */
import type { Reply } from "llmproxy"

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly param?: string
  readonly retryMs?: number
}

export function refusalReply({ status, code, message, param, retryMs }: Refusal): Reply {
  const type = status >= 500 ? "server_error" : "invalid_request_error"
  return {
    status,
    headers: retryMs === undefined ? {} : { "Retry-After": String(Math.max(1, Math.ceil(retryMs / 1_000))) },
    error: { code, message, type, ...(param === undefined ? {} : { param }) },
  }
}

/** A field of the request that cannot be honoured; it is never passed over in silence. */
export function badField(param: string, message: string): Refusal {
  return { status: 400, code: "invalid_value", message: `${param}: ${message}`, param }
}

/** OpenAI's own sentence, which clients search for its numbers. */
export function tooLong(chat: boolean, context: number, promptTokens: number, wanted = 0): Refusal {
  const most = `This model's maximum context length is ${context} tokens.`
  const message =
    wanted === 0
      ? `${most} However, your messages resulted in ${promptTokens} tokens. Please reduce the length of the messages.`
      : `${most} However, you requested ${promptTokens + wanted} tokens (${promptTokens} in the messages, ${wanted} in the completion). Please reduce the length of the messages or completion.`
  return { status: 400, code: "context_length_exceeded", message, param: chat ? "messages" : "prompt" }
}
