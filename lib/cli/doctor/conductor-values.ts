/**
 * What the conductor's options say of its hosts and its key, for commands that tell people of them. The declaration is the
 * addon's own; here is what is needed of it, read from the same places.
 */

import { resolveOptions } from "../../options/resolve.ts"
import { findValue, type OptionSources } from "../../options/sources.ts"
import type { OptionSpecs } from "../../options/spec.ts"
import { hostAndPort } from "../../proxy/io/authority.ts"

/** LM Studio's, which the conductor asks where nothing is said. */
const DEFAULT_LOCAL_PORT = 1234
const DEFAULT_LOCAL_HOST = "127.0.0.1"

const OPTIONS = {
  localUrl: { type: "string", help: "" },
  localUrls: { type: "list", help: "", default: [] },
  localHost: { type: "string", help: "", env: "LOCAL_LLM_HOST" },
  localPort: { type: "integer", help: "", env: "LOCAL_LLM_PORT" },
  localKey: { type: "string", help: "", secret: true },
  localModel: { type: "string", help: "" },
  cloudKey: { type: "string", help: "", secret: true, env: "OPENAI_API_KEY" },
  maxTokenCount: { type: "integer", help: "", default: 8192, env: "MAX_TOKEN_COUNT" },
} as const satisfies OptionSpecs

/** What the conductor's options say, whether it is loaded or not. */
export interface ConductorValues {
  /** In the order in which the conductor tries them, without /v1; empty: nothing is said. */
  readonly localUrls: readonly string[]
  readonly localKey: string | undefined
  readonly localModel: string | undefined
  readonly cloudKey: string | undefined
  /** Where `cloudKey` was given, for people: `OPENAI_API_KEY (.env)`. */
  readonly cloudKeyFrom: string | undefined
  readonly maxTokenCount: number
}

/** Where the conductor looks for a local host when nobody has said. */
export const DEFAULT_LOCAL_URL = `http://${hostAndPort(DEFAULT_LOCAL_HOST, DEFAULT_LOCAL_PORT)}`

/** Throws a UsageError for a value of another type. */
export function conductorValues(sources: OptionSources): ConductorValues {
  const options = resolveOptions("conductor", OPTIONS, sources)
  const { localUrl, localUrls, localHost, localPort, ...values } = options
  return { ...values, cloudKeyFrom: keySource(sources), localUrls: [...new Set(urls().map(bare))] }

  function urls(): readonly string[] {
    if (localUrls.length > 0) return localUrls
    if (localUrl !== undefined) return [localUrl]
    if (localHost === undefined && localPort === undefined) return []
    const host = localHost ?? DEFAULT_LOCAL_HOST
    return [host.includes("://") ? host : `http://${hostAndPort(host, localPort ?? DEFAULT_LOCAL_PORT)}`]
  }
}

function keySource(sources: OptionSources): string | undefined {
  const found = findValue("conductor", "cloudKey", OPTIONS.cloudKey, sources)
  return found === undefined ? undefined : found.given.replace(/[=:] ?\*+$/, "") + found.where
}

function bare(url: string): string {
  return url.replace(/\/+$/, "").replace(/\/v1$/, "")
}
