/** Which flows are for the embedded models: what other addons send to their address, and what is asked at the proxy's own. */
import type { Flow } from "llmproxy"
import { isOwnAddress } from "../shared/own-address.ts"

/**
 * Where other addons send to. Nobody listens there: a name that always means this machine (RFC 6761, section 6.3), and that this
 * addon answers for.
 */
export const PLACE = "http://local-model.localhost"

/** Sent to the place by an addon: routed there, or a flow that it has sent. What a client asks there by itself is not taken. */
export function isHere(flow: Flow): boolean {
  const isSent = flow.parent !== undefined || flow.client.address === ""
  const url = flow.routed?.url ?? (isSent ? flow.request.url : undefined)
  // The usual case costs no parsing.
  return url?.startsWith(PLACE) === true && URL.canParse(url) && new URL(url).origin === PLACE
}

/** `id`: one model is asked for. */
export function listQuestion(flow: Flow): { readonly id: string | undefined } | undefined {
  if (flow.request.method !== "GET" || !(isHere(flow) || isOwnAddress(flow))) return undefined
  const [path = ""] = flow.request.path.split("?")
  const found = /^\/v1\/models(?:\/([^/]+))?\/?$/.exec(path)
  if (found === null) return undefined
  const [, id] = found
  try {
    return { id: id === undefined ? undefined : decodeURIComponent(id) }
  } catch {
    return undefined
  }
}
