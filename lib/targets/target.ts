/**
 * A place that a request may be sent to: where it is, what opens it, and how a request has to look there. Pure.
 */
import type { Flow } from "../api/flow.ts"
import { Headers, type HeadersInit } from "../base/headers.ts"
import { isSecretName } from "../base/secrets/names.ts"
import type { DialectName } from "../llm/model.ts"
import { RequestBody } from "../llm/request-body.ts"

export interface Target {
  /** One target's alone, for people: it stands in records, reasons and metrics. */
  readonly name: string
  /**
   * The base URL, as a client of that provider's would be given it: `https://api.openai.com/v1`,
   * `https://api.anthropic.com`, `http://127.0.0.1:11434`. See `urlAt`.
   */
  readonly url: string
  /** Fields for that host alone, as its key. They are set when the request leaves, and go nowhere else. */
  readonly headers?: HeadersInit
  /** Whether what is asked there stays with its user: this machine, or another one of theirs. `flow.localOnly` counts on it. */
  readonly isLocal: boolean
  /** The model to ask for there. Default: the one that the request names. */
  readonly model?: string
  /** Requests that run there at a time; more wait in a line. Default: as many as come. */
  readonly concurrency?: number
  /** Requests that may wait in that line; 0: none, the next target is asked at once. Default: `WAITING_MAX`. */
  readonly waiting?: number
  /** Tokens that its model takes, prompt and answer together, where that is known. It is told on the flow: see `contextOf`. */
  readonly context?: number
  /** How often it is chosen first in a plan by weight, beside the others'; 0: only when they have failed. Default: 1. */
  readonly weight?: number
  /** What it speaks. Default: as the path of the request says. */
  readonly dialect?: DialectName
  /** An upstream proxy to ask it through. */
  readonly via?: string
  /** PEM certificates to trust for it besides the system's. */
  readonly ca?: string
}

/** Whose account of OpenAI's a client's key belongs to. */
const ACCOUNT: ReadonlySet<string> = new Set(["openai-organization", "openai-project"])
/** What is only between two machines, or said of a body that is written anew (RFC 9110 section 7.6.1). */
const BETWEEN_TWO: ReadonlySet<string> = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  // What the answer is decoded from is our own affair.
  "accept-encoding",
])

/**
 * The URL of a request's `path` (with its query) at a target. OpenAI's clients are given a base URL that ends where
 * `/chat/completions` begins, all others one that ends before `/v1`: so the `/v1` of the path stands for the target's own
 * path, save for Anthropic's. Throws a TypeError for a base that is no URL.
 */
export function urlAt({ url, dialect }: Pick<Target, "url" | "dialect">, path: string): string {
  const base = new URL(url)
  const own = base.pathname.replace(/\/+$/, "")
  const isOpenAi = dialect !== "anthropic-messages" && !/^\/v1\/messages(?:$|[/?])/.test(path)
  if (!/^\/v1(?:$|[/?])/.test(path)) return base.origin + own.replace(/\/v1$/, "") + path
  if (isOpenAi && own !== "") return base.origin + own + path.slice(3)
  return base.origin + own.replace(/\/v1$/, "") + path
}

/**
 * The fields of a request for a target: what the client said, without its keys, its cookies, what is meant for llmproxy, and
 * what ends here; and the target's own.
 */
export function fieldsAt({ headers }: Pick<Target, "headers">, said: Iterable<[string, string]>): Headers {
  const fields = new Headers()
  const all = [...said]
  const named = all.flatMap(([name, value]) => (name.toLowerCase() === "connection" ? value.split(",") : []))
  const here = new Set(named.map((name) => name.trim().toLowerCase()))
  for (const [name, value] of all) {
    const lower = name.toLowerCase()
    if (BETWEEN_TWO.has(lower) || here.has(lower) || isForUs(lower)) continue
    fields.append(name, value)
  }
  for (const [name, value] of new Headers(headers)) fields.set(name, value)
  return fields
}

/** Takes off a request that leaves as the flow's own what `fieldsAt` would leave out. */
export function dropClientsOwn({ headers }: Flow["request"]): void {
  for (const name of new Set(headers.lowerNames())) if (isForUs(name)) headers.delete(name)
}

/** Whether the target is opened by a key of the server's. */
export function hasKey({ headers }: Pick<Target, "headers">): boolean {
  return headers !== undefined && new Headers(headers).lowerNames().some((name) => isSecretName(name, "field"))
}

/** The path without the parameters in which the client has put a key. */
export function withoutKeys(path: string): string {
  const mark = path.indexOf("?")
  if (mark === -1) return path
  const all = path.slice(mark + 1).split("&")
  const kept = all.filter((parameter) => !isSecretName(decoded(parameter.split("=", 1)[0] ?? ""), "field"))
  if (kept.length === all.length) return path
  return path.slice(0, mark) + (kept.length === 0 ? "" : `?${kept.join("&")}`)
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name // a lone %
  }
}

function isForUs(lowerName: string): boolean {
  return lowerName.startsWith("x-llmproxy-") || ACCOUNT.has(lowerName) || isSecretName(lowerName, "field")
}

/** Whether the request is wholly here, so that it can be sent more than once. */
export function isWhole({ request }: Flow): boolean {
  return !request.headers.has("upgrade") && bytesOf(request) !== undefined
}

/** Undefined: it has a body, which was not collected, or is in a coding that cannot be undone. */
function bytesOf(request: Flow["request"]): Buffer | undefined {
  try {
    return request.bytes
  } catch {
    const { headers } = request
    const hasBody = headers.has("transfer-encoding") || Number(headers.get("content-length") ?? 0) > 0
    return hasBody ? undefined : Buffer.alloc(0)
  }
}

/**
 * The body of the request for a target: the bytes that came, with what addons have changed in what the model is asked, and
 * with the target's model. What nobody changed keeps its characters. Throws for a body that is not wholly here.
 */
export function bodyAt({ model }: Pick<Target, "model">, flow: Flow): Uint8Array {
  const { request, llm } = flow
  const bytes = bytesOf(request) ?? request.bytes
  const body = RequestBody.parse(bytes)
  if (body === undefined) return bytes
  const { json } = body
  if (llm !== undefined) {
    const asked = llm.request.body
    for (const name of Object.keys(json)) if (!(name in asked)) delete json[name]
    Object.assign(json, asked)
  }
  if (model !== undefined && typeof json.model === "string") json.model = model
  return body.bytes()
}
