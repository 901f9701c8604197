/**
 * One HTTP request with an end: an answer, or why there is none. Follows no redirect, because a key may be in it, and
 * reads no more than it needs.
 */
import type { Clock } from "../../base/clock.ts"
import { messageOf, systemCodeOf } from "../../base/errors.ts"
import { isObject, parseJson } from "../../base/json.ts"

/** Milliseconds for one request, its body included. */
const ASK_MS = 2_000
/** Bytes of an answer: a list of some hundred models. */
const ANSWER_BYTES_MAX = 1_048_576

export interface Asking {
  readonly headers?: Readonly<Record<string, string>>
  /** A body; makes it a POST. */
  readonly json?: unknown
}

export type Reply =
  | {
      readonly kind: "answer"
      readonly status: number
      /** Its Server field. */
      readonly server: string | undefined
      readonly text: string
      readonly json: unknown
      readonly ms: number
    }
  | { readonly kind: "refused" | "late" | "failed"; readonly why: string }

/** As much of a response as is read here. */
interface Answer {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  readonly body: AsyncIterable<Uint8Array> | null
}

/** As much of fetch as is used here: Node's, and undici's. */
export type Fetch = (
  url: string,
  init: {
    readonly method?: string
    readonly body?: string
    readonly headers: Record<string, string>
    readonly redirect: "manual"
    readonly signal: AbortSignal
  },
) => Promise<Answer>

export type Ask = (url: string, asking?: Asking) => Promise<Reply>

export function makeAsk(clock: Clock, fetchIt: Fetch = fetch): Ask {
  return async (url, { headers = {}, json } = {}) => {
    const start = clock.monotonic()
    const abort = new AbortController()
    const timer = clock.after(ASK_MS, () => abort.abort())
    const body = json === undefined ? {} : { method: "POST", body: JSON.stringify(json) }
    const type = json === undefined ? {} : { "content-type": "application/json" }
    try {
      const response = await fetchIt(url, {
        ...body,
        headers: { ...headers, ...type },
        redirect: "manual",
        signal: abort.signal,
      })
      const text = await readText(response)
      const server = response.headers.get("server") ?? undefined
      const { status } = response
      return { kind: "answer", status, server, text, json: parseJson(text), ms: clock.monotonic() - start }
    } catch (thrown) {
      if (abort.signal.aborted) return { kind: "late", why: `no answer within ${ASK_MS / 1_000} s` }
      const cause = thrown instanceof Error && thrown.cause !== undefined ? thrown.cause : thrown
      const code = systemCodeOf(cause)
      return { kind: code === "ECONNREFUSED" ? "refused" : "failed", why: code ?? messageOf(cause) }
    } finally {
      timer.cancel()
    }
  }
}

async function readText(response: Answer): Promise<string> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of response.body ?? []) {
    size += piece.length
    if (size > ANSWER_BYTES_MAX) throw new Error(`the answer exceeds ${ANSWER_BYTES_MAX} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString("utf8")
}

/** `fieldOf(json, "error", "message")`, or undefined where the path leads nowhere. */
export function fieldOf(value: unknown, ...path: string[]): unknown {
  let at = value
  for (const name of path) {
    if (!isObject(at)) return undefined
    at = at[name]
  }
  return at
}

/** The objects of a list in a field. */
export function listOf(value: unknown, field: string): Record<string, unknown>[] {
  const list = fieldOf(value, field)
  return Array.isArray(list) ? list.filter(isObject) : []
}

export function numberIn(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined
}
