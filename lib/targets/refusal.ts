/**
 * What a client is told that no target has answered: each as an error that clients know, with what happened and what to
 * do. Pure.
 */
import type { Target } from "./target.ts"

export interface Refusal {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly error: { code: string; message: string; type: string }
}

/** Seconds after which a client may ask again when every line is full: about an answer's time. */
const FULL_S = 5

function namesOf(targets: readonly Target[]): string {
  return targets.map(({ name }) => name).join(", ")
}

export function noneLocal(targets: readonly Target[]): Refusal {
  const message = `llmproxy: the request is to stay local, and none of its targets is local: ${namesOf(targets)}`
  return { status: 403, error: { code: "stays-local", type: "invalid_request_error", message } }
}

/** As the core says it of a key that an addon puts into a request all the same. */
export function keyWithheld(targets: readonly Target[]): Refusal {
  const message =
    `llmproxy: ${namesOf(targets)}: a key of this server's own is not given to clients of other machines that have not ` +
    "authenticated, nor to pages of other sites"
  return { status: 403, error: { code: "key-withheld", type: "invalid_request_error", message } }
}

export function allFull(targets: readonly Target[]): Refusal {
  const message = `llmproxy: as many requests as may wait for ${namesOf(targets)} do. Please try again in ${FULL_S}s.`
  const headers = { "Retry-After": String(FULL_S) }
  return { status: 503, headers, error: { code: "overloaded", type: "overloaded_error", message } }
}

/** What the host says of the server's key is nothing for its clients: theirs is another. */
export function keyRefused({ name }: Target, status: number): Refusal {
  const message = `llmproxy: ${name} has refused the key that this server has for it (status ${status})`
  return { status: 502, error: { code: "upstream_key_refused", type: "api_error", message } }
}
