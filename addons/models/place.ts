/** Where a path stands at an upstream, whose base URL people write in the way of each provider's clients. Pure. */
import type { Speech } from "./speech.ts"

/**
 * OpenAI's clients are given a base URL that ends where `/chat/completions` begins, all others one that ends before `/v1`: so
 * the `/v1` of the path stands for an upstream's own path, save for Anthropic's.
 */
export function urlAt(base: string, path: string, speech: Speech): string {
  const { origin, pathname } = new URL(base)
  const own = pathname.replace(/\/+$/, "")
  const isBelowV1 = /^\/v1(?=[/?]|$)/.test(path)
  if (own === "") return origin + path
  if (isBelowV1 && speech === "openai") return origin + own + path.slice("/v1".length)
  const repeated = /\/(?:v1|v1beta|api)$/.exec(own)?.[0]
  return origin + (repeated === undefined ? own : own.slice(0, -repeated.length)) + path
}
