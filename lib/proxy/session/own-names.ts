/** Under which names the proxy's own page is served: what stands there is never forwarded. */

/** Below this at our own address. */
export const OWN_PREFIX = "/.llmproxy"
/** The host under which the same is served to those who come through the proxy. It never leaves for an upstream. */
export const OWN_HOST = "llmproxy.local"

/** Whether a request-target at our own address is for it. */
export function isOwnPath(target: string): boolean {
  return target.startsWith(OWN_PREFIX) && /^(?:[/?#]|$)/.test(target.slice(OWN_PREFIX.length))
}
