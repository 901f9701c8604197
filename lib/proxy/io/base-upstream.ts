/**
 * Where a request at the proxy's own address goes while no addon says otherwise: to --base-upstream, with its path behind
 * that one's. Pure.
 */
import { defaultPort, normalHost } from "./authority.ts"

/** `target`: a path with its query, or "*". */
export function atBaseUpstream(baseUpstream: URL, target: string) {
  const scheme = baseUpstream.protocol === "http:" ? ("http" as const) : ("https" as const)
  const host = normalHost(baseUpstream.hostname.replace(/^\[|\]$/g, "")) ?? baseUpstream.hostname
  const port = Number(baseUpstream.port || defaultPort(scheme))
  return { scheme, host, port, path: target === "*" ? "*" : joinPaths(baseUpstream.pathname, target) }
}

/** `/v1` and `/v1/models` name the same folder once, not twice. */
export function joinPaths(base: string, path: string): string {
  const prefix = base.replace(/\/+$/, "")
  const rest = path.startsWith(prefix) ? path.slice(prefix.length) : undefined
  if (rest !== undefined && /^(?:[/?#]|$)/.test(rest)) return path
  return `${prefix}${path}`
}
