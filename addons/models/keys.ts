/** The fields that open an upstream, by what it speaks. Pure. */
import type { Headers } from "llmproxy"
import type { Upstream } from "./upstreams.ts"

/** Anthropic wants a version of every client; most send one. */
const ANTHROPIC_VERSION = "2023-06-01"
/** A base URL of Azure's. */
const AZURE = /^https?:\/\/[^/?#]{1,253}\.azure\.com(?:[:/?#]|$)/i

/** For that upstream alone. */
export function keyFields({ key, speaks, url }: Upstream, asked?: Pick<Headers, "has">): Record<string, string> {
  if (speaks.includes("anthropic-messages") && !speaks.includes("openai")) {
    const version = asked?.has("anthropic-version") === true ? {} : { "anthropic-version": ANTHROPIC_VERSION }
    return { ...version, ...(key === undefined ? {} : { "x-api-key": key }) }
  }
  if (key === undefined) return {}
  if (speaks.includes("gemini")) return { "x-goog-api-key": key }
  // Azure's keys are no bearer tokens.
  return AZURE.test(url) ? { "api-key": key } : { Authorization: `Bearer ${key}` }
}
