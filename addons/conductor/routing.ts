/**
 * What decides on a request's way before its size does: the client's own wish in a header, and the lists of models; and
 * which local model stands for the one that the client names. Pure, save that the header is taken off the request.
 */
import type { Flow } from "llmproxy"
import type { ConductorOptions } from "./options.ts"

/** In a request: `local` or `cloud`. It is ours to read and leaves with no request. */
const ROUTE_FIELD = "x-llmproxy-route"
const WISH = "conductor.wish"
/** Of a wish that nobody can grant, so much is told. */
const WISH_CHARS_MAX = 40

export interface Wish {
  readonly route: "local" | "cloud"
  /** For people. */
  readonly why: string
  /** Whether nothing else will do: what was to stay local is not sent to the cloud because a host failed. */
  readonly binding: boolean
}

/** Takes the client's wish off the request, whatever the request is. */
export function takeWish(flow: Flow): void {
  const { headers } = flow.request
  const wish = headers.get(ROUTE_FIELD)
  if (wish === undefined) return
  headers.delete(ROUTE_FIELD)
  flow.metadata[WISH] = wish.trim().toLowerCase().slice(0, WISH_CHARS_MAX)
}

/** The wish for this request, if there is one; a text is a wish that nobody can grant. */
export function wishFor(
  flow: Flow,
  model: string,
  { localModels, cloudModels }: Pick<ConductorOptions, "localModels" | "cloudModels">,
): Wish | string | undefined {
  const said = flow.metadata[WISH]
  if (said === "local" || said === "cloud") return { route: said, why: `${ROUTE_FIELD}: ${said}`, binding: true }
  if (said !== undefined) return String(said)
  const cloud = cloudModels.find((pattern) => isLike(model, pattern))
  if (cloud !== undefined) return { route: "cloud", why: `cloudModels has ${cloud}`, binding: false }
  const local = localModels.find((pattern) => isLike(model, pattern))
  return local === undefined ? undefined : { route: "local", why: `localModels has ${local}`, binding: false }
}

/** The first pattern that fits decides; undefined: none does. */
export function mappedModel(map: Readonly<Record<string, unknown>>, model: string): string | undefined {
  const found = Object.entries(map).find(([pattern]) => isLike(model, pattern))?.[1]
  return typeof found === "string" ? found : undefined
}

/** Throws an Error for a map that is none. */
export function checkModelMap(map: Readonly<Record<string, unknown>>): void {
  const odd = Object.entries(map).find(([, model]) => typeof model !== "string" || model === "")
  if (odd === undefined) return
  throw new Error(`conductor.modelMap: ${odd[0]} must name a local model, as in {"gpt-4*": "deepseek-coder-6.7b"}`)
}

/** Whole names, in any case; `*` is any text, also none. Linear: a pattern is no regular expression here. */
export function isLike(name: string, pattern: string): boolean {
  const text = name.toLowerCase()
  const [first = "", ...rest] = pattern.toLowerCase().split("*")
  if (rest.length === 0) return text === first
  if (!text.startsWith(first)) return false
  const last = rest.pop() ?? ""
  let at = first.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}
