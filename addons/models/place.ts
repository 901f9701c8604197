/** Where a path stands at an upstream, whose base URL people write in the way of each provider's clients. Pure. */
import type { Speech } from "./speech.ts"

/** Base URLs that are remembered as their parts: those of the upstreams, which each request needs. */
const BASES_MAX = 100

interface Base {
  readonly origin: string
  /** Its path, without a slash at the end. */
  readonly own: string
}

const bases = new Map<string, Base>()

/**
 * OpenAI's clients are given a base URL that ends where `/chat/completions` begins, all others one that ends before `/v1`: so
 * the `/v1` of the path stands for an upstream's own path, save for Anthropic's.
 */
export function urlAt(base: string, path: string, speech: Speech): string {
  const { origin, own } = baseOf(base)
  const isBelowV1 = /^\/v1(?=[/?]|$)/.test(path)
  if (own === "") return origin + path
  if (isBelowV1 && speech === "openai") return origin + own + path.slice("/v1".length)
  const repeated = /\/(?:v1|v1beta|api)$/.exec(own)?.[0]
  return origin + (repeated === undefined ? own : own.slice(0, -repeated.length)) + path
}

function baseOf(url: string): Base {
  const known = bases.get(url)
  if (known !== undefined) return known
  const { origin, pathname } = new URL(url)
  const base = { origin, own: pathname.replace(/\/+$/, "") }
  if (bases.size >= BASES_MAX) bases.clear()
  bases.set(url, base)
  return base
}
