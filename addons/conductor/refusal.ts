/**
 * What a client hears when nobody can answer it: an error that its SDK can read, with the words that clients search for.
 * GPT Pilot waits where it reads `rate_limit_exceeded` and `Please try again in 9.816s`, shortens its request where it
 * reads `context_length_exceeded`, and asks its user otherwise. `x-should-retry: false` keeps SDKs from asking at once
 * again what was tried everywhere.
 */
import { ROUTE_FIELD } from "../shared/local-answers.ts"
import { tooLong } from "./decision.ts"
import type { Miss } from "./local-attempts.ts"
import type { Obstacle } from "./local-request.ts"

export interface Refusal {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly error: { code: string; message: string; type?: string; param?: string }
}

/** A host that loads a model takes about as long. */
const LOADING_S = 10
const FINAL = { "x-should-retry": "false" }
/** What may go to the cloud needs a key for it, what stays has its host alone. */
const help = (stays: boolean) => (stays ? "" : ", or set OPENAI_API_KEY to use the cloud")

export function unsupported({ field, what }: Obstacle, api: string, stays: boolean): Refusal {
  const message =
    `llmproxy: ${field}: ${what} cannot be sent to the local host while conductor.localApi is ${api}. ` +
    (stays
      ? "Leave it out, or set conductor.localApi=messages."
      : "Leave it out, set conductor.localApi=messages, or set OPENAI_API_KEY to use the cloud.")
  return { status: 400, error: { code: "unsupported_parameter", message, param: field } }
}

export function failed(message: string): Refusal {
  return { status: 500, headers: FINAL, error: { code: "conductor_failed", message, type: "api_error" } }
}

/** An addon has failed the local answer: it is not for the cloud to answer then. */
export function failedByAddon(message: string): Refusal {
  return {
    status: 502,
    headers: FINAL,
    error: { code: "addon_failed", message: `llmproxy: ${message}`, type: "api_error" },
  }
}

export function badWish(wish: string): Refusal {
  const message = `llmproxy: ${ROUTE_FIELD}: ${JSON.stringify(wish)} is no route; write local or cloud`
  return { status: 400, error: { code: "invalid_route", message, param: ROUTE_FIELD } }
}

export function noModel(why: string): Refusal {
  const message = `llmproxy: the request names no model (${why}). Name one.`
  return { status: 400, error: { code: "model_required", message, param: "model" } }
}

export function noKey(why: string): Refusal {
  const message = `llmproxy: the request is to go to the cloud (${why}), and there is no key for it. Set OPENAI_API_KEY.`
  return { status: 401, error: { code: "invalid_api_key", message } }
}

export function overflow(message: string): Refusal {
  return { status: 400, headers: FINAL, error: { code: "context_length_exceeded", message, param: "messages" } }
}

/** For misses of every host, the last of which counts. `why`: the reason that is said everywhere. `stays`: see `tooLong`. */
export function missed(misses: readonly Miss[], why: string, stays: boolean): Refusal {
  const said = misses.map(({ base }) => base).join(", ")
  const last = misses.at(-1)
  const end = why.endsWith(".") ? "" : "."
  const message = `llmproxy: ${said}: ${why}${end} Mend or start the local host${help(stays)}.`
  const small = misses.findLast(({ kind }) => kind === "small")
  if (last === undefined || (small !== undefined && misses.every(({ kind }) => kind === "small")))
    return overflow(small === undefined ? message : tooLong(small.room, stays))
  const full = misses.findLast(({ isOverflow }) => isOverflow)
  if (full !== undefined)
    return overflow(`llmproxy: ${said}: ${why}${end} Reduce the length of the messages${help(stays)}.${told(full)}`)
  const busy = misses.find(({ failure }) => isBusy(failure?.error?.kind))
  if (busy !== undefined) {
    const headers = { "Retry-After": String(LOADING_S) }
    const wait = `llmproxy: ${busy.base}: ${why}${end} Please try again in ${LOADING_S.toFixed(3)}s.`
    return { status: 429, headers, error: { code: "rate_limit_exceeded", message: wait, type: "tokens" } }
  }
  const { failure } = last
  // Nobody else will answer it: the service is down until the host is up.
  const isDown = stays && (failure === undefined || failure.kind === "connect")
  const status = failure !== undefined && failure.status >= 400 ? failure.status : isDown ? 503 : 502
  return { status, headers: FINAL, error: { code: "local_host_failed", message, type: "api_error" } }
}

/** OpenAI's sentence, with what the host has told of the prompt: clients shorten theirs by it. */
function told({ failure }: Miss): string {
  const { requested, limit } = failure?.error?.overflow ?? {}
  if (requested === undefined) return ""
  const window = limit === undefined ? "" : ` This model's maximum context length is ${limit} tokens.`
  return `${window} However, your messages resulted in ${requested} tokens.`
}

function isBusy(kind: string | undefined): boolean {
  return kind === "loading" || kind === "overloaded" || kind === "rate_limit"
}
