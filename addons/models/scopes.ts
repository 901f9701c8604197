/**
 * What the client may use, by the claims that its key came with. Nobody has claims where no addon names them: then everybody may
 * use everything that the proxy's own rules of access let them.
 */
import { type Flow, isLoopbackHost } from "llmproxy"
import { allows, claimsOf } from "../shared/claims.ts"

type Asking = Pick<Flow, "client">

/** Whose what it makes is; "": nobody was named. */
export function ownerOf({ client }: Asking): string {
  return client.user ?? ""
}

/** Whether what others made is kept from it. */
export function isOneOfMany({ client }: Asking): boolean {
  return client.user !== undefined && claimsOf(client)?.admin !== true
}

export function mayAdminister({ client }: Asking): boolean {
  const claims = claimsOf(client)
  return claims === undefined || claims.admin
}

/** Without keys it takes a program of this machine, or another addon. */
export function mayChangeHosts({ client }: Asking): boolean {
  const { address } = client
  return claimsOf(client)?.admin ?? (address === "" || isLoopbackHost(address))
}

export function mayUseUpstream(flow: Asking, name: string): boolean {
  return allows(scopesOf(flow)?.upstreams, name)
}

/**
 * `own`: the ID where `model` is `UPSTREAM/ID`. A glob without a slash has to fit that as well: "o*" is o3, and not all that an
 * upstream called "openai" has.
 */
export function mayUseModel(flow: Asking, model: string, own: string | undefined): boolean {
  const globs = scopesOf(flow)?.models
  if (own === undefined || globs === undefined) return allows(globs, model)
  return globs.some((glob) => allows([glob], model) && (glob.includes("/") || allows([glob], own)))
}

/** Undefined: all. */
function scopesOf({ client }: Asking) {
  const claims = claimsOf(client)
  return claims?.admin === true ? undefined : claims?.scopes
}
