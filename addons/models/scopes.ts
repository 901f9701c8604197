/**
 * What the client may use, by the claims that its key came with. Nobody has claims where no addon names them: then everybody may
 * use everything that the proxy's own rules of access let them.
 */
import { type Flow, isLoopbackHost, isObject, type JsonObject } from "llmproxy"
import { isLike } from "../shared/globs.ts"

/** Undefined: no keys are loaded. */
function claimsOf({ client }: Pick<Flow, "client">): JsonObject | undefined {
  const claims: unknown = Reflect.get(client, "claims")
  return isObject(claims) ? claims : undefined
}

/** Whose what it makes is; "": nobody was named. */
export function ownerOf({ client }: Pick<Flow, "client">): string {
  return client.user ?? ""
}

/** Whether what others made is kept from it. */
export function isOneOfMany(flow: Pick<Flow, "client">): boolean {
  return flow.client.user !== undefined && claimsOf(flow)?.admin !== true
}

export function mayAdminister(flow: Pick<Flow, "client">): boolean {
  const claims = claimsOf(flow)
  return claims === undefined || claims.admin === true
}

/** Without keys it takes a program of this machine, or another addon. */
export function mayChangeHosts(flow: Pick<Flow, "client">): boolean {
  const { address } = flow.client
  return claimsOf(flow) === undefined ? address === "" || isLoopbackHost(address) : mayAdminister(flow)
}

export function mayUseUpstream(flow: Pick<Flow, "client">, name: string): boolean {
  return isIn(scopeOf(flow, "upstreams"), name)
}

export function mayUseModel(flow: Pick<Flow, "client">, model: string): boolean {
  return isIn(scopeOf(flow, "models"), model)
}

function scopeOf(flow: Pick<Flow, "client">, which: "models" | "upstreams"): readonly unknown[] | undefined {
  const claims = claimsOf(flow)
  const scopes = claims?.admin === true ? undefined : claims?.scopes
  const scope = isObject(scopes) ? scopes[which] : undefined
  return Array.isArray(scope) ? scope : undefined
}

function isIn(scope: readonly unknown[] | undefined, name: string): boolean {
  return scope === undefined || scope.some((pattern) => typeof pattern === "string" && isLike(name, pattern))
}
