/**
 * Ollama's calls that change what a host has (`/api/pull`, `create`, `delete`, `copy`, `push`, `blobs`): they go to an upstream
 * that speaks Ollama, for whoever runs the proxy, and are offered nowhere else. Pure.
 */
import type { Flow } from "llmproxy"
import type { Refusal } from "./refusal.ts"
import { mayChangeHosts } from "./scopes.ts"
import { apiPath } from "./speech.ts"
import type { Upstream } from "./upstreams.ts"

const CHANGES = /^\/api\/(?:pull|create|delete|copy|push|blobs)(?:[/?]|$)/

/** Why the flow may not change hosts; undefined: it may, or asks for something else. */
export function ollamaAdmin(flow: Flow, upstreams: readonly Upstream[]): Refusal | undefined {
  const path = apiPath(flow.request.path)
  if (!CHANGES.test(path)) return undefined
  const call = path.split("?", 1)[0] ?? ""
  if (!upstreams.some(({ speaks }) => speaks.includes("ollama"))) {
    const message = `${call}: no upstream speaks Ollama; name one with dialect: ollama`
    return { status: 501, code: "not_implemented", message }
  }
  if (mayChangeHosts(flow)) return undefined
  const message = `${call} changes what the host has: it takes a key with the scope admin, or without keys a program of this machine`
  return { status: 403, code: "admin_only", message }
}

/** Whether a request is one of those. `path` is one of `apiPath`. */
export function changesHost(path: string): boolean {
  return CHANGES.test(path)
}
