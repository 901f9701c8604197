/** What the proxy says in its own words to whom it refuses: one line of text. In a dialect a flow says it (flow/reply.ts). */
import type { FlowError } from "../../base/errors.ts"
import { Headers, type HeadersInit } from "../../base/headers.ts"
import { CHALLENGE } from "./access.ts"

/** The Server field (RFC 9110, 10.2.4) of what we say ourselves, by which `doctor` knows us from what repeats a question. */
export const OWN_SERVER = "llmproxy"

export interface Refusal {
  readonly headers: Headers
  readonly body: Buffer
}

/** A 407 has its challenge; `more` are further fields. */
export function refusalText(error: FlowError, more: HeadersInit = []): Refusal {
  const body = Buffer.from(`llmproxy: ${error.told}\n`)
  const headers = new Headers(more)
  headers.set("Content-Type", "text/plain; charset=utf-8")
  if (error.status === 407) headers.set("Proxy-Authenticate", CHALLENGE)
  headers.set("Server", OWN_SERVER)
  headers.set("Content-Length", String(body.length))
  return { headers, body }
}
