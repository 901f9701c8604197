/** Which flows are for those that answer or route at the proxy's own address. Pure. */
import type { Flow } from "llmproxy"

/** Asked at the proxy's own address, and nobody has sent it elsewhere. */
export function isOwnAddress(flow: Flow): boolean {
  const { request, original } = flow
  if (!flow.baseUrl || flow.turn !== undefined || flow.routed?.url !== undefined) return false
  return request.host === original.host && request.port === original.port && request.scheme === original.scheme
}
