/**
 * What addons serve, judged and found. A path is claimed once, by one addon, and a request finds its route by the path as
 * it stands: what only looks like a route's path is never served. Pure; serving.ts answers.
 */
import type { EndpointDocument, ServeAccess, ServeHandler, ServeSpec } from "../api/serve.ts"
import { UsageError } from "../base/errors.ts"
import type { Logger } from "../base/log.ts"
import { isOwnPath, OWN_PREFIX } from "../proxy/session/own-names.ts"
import { decoded, isClear, pathOf } from "./paths.ts"

export interface Route {
  readonly addon: string
  readonly method: string
  /** As it was declared; "": nothing is served, and what addons answer in their hooks is described. */
  readonly path: string
  readonly access: ServeAccess
  readonly handler: ServeHandler
  readonly describes?: ServeSpec["describes"]
  readonly refused?: ServeSpec["refused"]
  /** The addon's. */
  readonly log: Logger
}

/** What is known of a request for a claimed path. */
export type Found =
  | { readonly kind: "route"; readonly route: Route }
  /** Only other methods are served there. */
  | { readonly kind: "other-method"; readonly allow: readonly string[] }
  /** The path can be read in two ways, and one of them is a route's. */
  | { readonly kind: "unclear" }

/** Below this paths are the base upstream's: only what is served of them in that very method is not passed on. */
const UPSTREAM_PREFIX = "/v1/"

const ACCESS: readonly string[] = ["public", "open", "user", "admin"] satisfies ServeAccess[]
const METHOD = /^[A-Z]+$/
/** No request of a handler's can have these: the Fetch standard forbids them. */
const NEVER: readonly string[] = ["CONNECT", "TRACE", "TRACK"]
/** Of these a Request takes another spelling ("get") for the method itself, which it is not (RFC 9110 section 9.1). */
const NORMALISED: readonly string[] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
/** What "*" is told as. */
const ALL_METHODS: readonly string[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
/** Longer than any path that somebody writes. */
const PATH_CHARS_MAX = 1_024
// biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what this looks for
const PATH_FAULT = /[?#%\\\u0000-\u0020\u007f]/

/** Judges what `serve` was called with, after the addon's other routes. Throws a UsageError. */
export function checkRoute(
  addon: string,
  { method, path, access, describes, refused }: ServeSpec,
  handler: ServeHandler,
  log: Logger,
): Route {
  const told = (text: string) => new UsageError(`serve ${String(method)} ${String(path)}: ${text}`)
  if (typeof method !== "string" || (method !== "*" && !METHOD.test(method)))
    throw told('method must be one in capitals, as in "GET", or "*"')
  if (NEVER.includes(method)) throw told(`${method} cannot be served`)
  if (typeof path !== "string" || !path.startsWith("/") || path.length > PATH_CHARS_MAX)
    throw told(`path must begin with a slash and have at most ${PATH_CHARS_MAX} characters`)
  const exact = path.endsWith("/*") ? path.slice(0, -1) : path
  if (PATH_FAULT.test(exact) || exact.includes("*") || !isClear(exact))
    throw told('path is written as it is read: no "..", "?", "#" or "%", and "*" only as a last "/*"')
  if (exact === "/" && path !== exact) throw told('it would take all that is for the upstream; as in "/panel/*"')
  if (isOwnPath(exact)) throw told(`paths below ${OWN_PREFIX}/ are llmproxy's own`)
  if (!ACCESS.includes(access)) throw told(`access must be "public", "open", "user" or "admin"`)
  if (typeof handler !== "function") throw told("the second argument must be a function that returns a Response")
  const more = { ...(describes === undefined ? {} : { describes }), ...(refused === undefined ? {} : { refused }) }
  return { addon, method, path, access, handler, log, ...more }
}

/** What an addon answers by itself, in its hooks. */
export function describedAlone(addon: string, describes: () => EndpointDocument, log: Logger): Route {
  const handler = () => Response.error()
  return { addon, method: "GET", path: "", access: "public", handler, log, describes }
}

/**
 * Throws a UsageError where two routes claim one path: one addon twice with the same method, or two addons at all, also
 * where one's `/*` covers the other's.
 */
export function checkDistinctRoutes(routes: readonly Route[]): void {
  for (const [index, route] of routes.entries()) {
    for (const other of routes.slice(0, index)) {
      if (route.path === "" || other.path === "") continue
      if (other.addon === route.addon) {
        if (other.path === route.path && other.method === route.method)
          throw new UsageError(`addon "${route.addon}": serve ${route.method} ${route.path}: it is served already`)
      } else if (covers(other.path, route.path) || covers(route.path, other.path)) {
        const paths = other.path === route.path ? route.path : `${other.path} and ${route.path}`
        throw new UsageError(
          `addons "${other.addon}" and "${route.addon}" both serve ${paths}; a path belongs to one addon, with all below its /*`,
        )
      }
    }
  }
}

/** The routes of all addons as they are now. Never changes: a reload makes a new one. */
export class RouteTable {
  /** By path, the narrowest first; the methods of one stand together. */
  readonly #paths: readonly (readonly [path: string, routes: readonly Route[]])[]

  constructor(routes: readonly Route[]) {
    const paths = new Map<string, Route[]>()
    for (const route of routes) if (route.path !== "") paths.set(route.path, [...(paths.get(route.path) ?? []), route])
    this.#paths = [...paths].sort(([one], [other]) => narrowness(other) - narrowness(one))
  }

  /** Undefined: nothing is served there, and the request passes on. */
  find(method: string, target: string): Found | undefined {
    if (this.#paths.length === 0) return undefined
    const asked = decoded(pathOf(target))
    // The narrowest path alone decides: what is wider may let in whom this one does not.
    const routes = this.#paths.find(([path]) => covers(path, asked))?.[1]
    if (routes === undefined) return undefined
    const route = routes.find((one) => one.method === method) ?? routes.find((one) => answers(one, method))
    if (route === undefined && asked.startsWith(UPSTREAM_PREFIX)) return undefined
    if (!isClear(target)) return { kind: "unclear" }
    return route === undefined ? { kind: "other-method", allow: allowed(routes) } : { kind: "route", route }
  }
}

/** Of two paths that cover a request's, the one with more is narrower; an exact one is narrower than its `/*`. */
function narrowness(path: string): number {
  return path.endsWith("/*") ? 2 * path.length - 2 : 2 * path.length + 1
}

function covers(claimed: string, path: string): boolean {
  return claimed.endsWith("/*") ? path.startsWith(claimed.slice(0, -1)) : path === claimed
}

function answers(route: Route, method: string): boolean {
  if (method === "HEAD" && route.method === "GET") return true
  return route.method === "*" && isForRequest(method)
}

/** Whether a handler's Request can have it, as it came. */
function isForRequest(method: string): boolean {
  const capitals = method.toUpperCase()
  return !NEVER.includes(capitals) && (method === capitals || !NORMALISED.includes(capitals))
}

function allowed(routes: readonly Route[]): string[] {
  const methods = routes.flatMap(({ method }) => {
    if (method === "*") return ALL_METHODS
    return method === "GET" ? ["GET", "HEAD"] : [method]
  })
  return [...new Set(methods)]
}
