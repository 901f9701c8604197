/**
 * Pages and APIs of an addon's own, at the proxy's address beside what passes to `--base-upstream`. In web types, so that
 * `(request) => app.fetch(request)` of a web framework fits.
 */
import type { JsonObject } from "../base/json.ts"
import type { Logger } from "../base/log.ts"
import type { ClientInfo } from "./flow.ts"

/**
 * `public`: whoever reaches the port; no addon is asked. `open`: everybody who may use the proxy, which an addon that asks
 * everywhere decides. `user`: who was named. `admin`: who runs the proxy, or is said to
 * be admin by an addon that asks everywhere (`claims.admin`).
 */
export type ServeAccess = "public" | "open" | "user" | "admin"

export interface ServeSpec {
  /** As in "GET", in capitals; "*" stands for all that no other route of this path names. GET answers HEAD as well. */
  readonly method: string
  /**
   * A path, or one that ends in `/*` for all below it; of several the narrowest alone counts. Compared with what was asked once
   * its percent-encoding is undone, as it stands: no dot segment, no slash less. One addon's paths are no other's.
   */
  readonly path: string
  readonly access: ServeAccess
  /**
   * What `GET /docs` shows of it; asked when somebody looks, and once for all routes that have the same function. `serveApi`
   * of "llmproxy/openapi" gives it.
   */
  readonly describes?: () => EndpointDocument
  /**
   * What is answered to whom `access` keeps out, with the status that it was refused with, and where the handler has thrown: 500, or
   * 503 while what addons keep cannot be reached. Default: `message` as text.
   */
  readonly refused?: RefusedAnswer
}

/** In the API's own form; a 401 gets its challenge and a 503 its Retry-After where it has none. */
export type RefusedAnswer = (status: number, message: string) => Response

/** Parts of an OpenAPI document (https://spec.openapis.org/oas/v3.1.0): its paths, and what they refer to. */
export interface EndpointDocument {
  readonly paths: JsonObject
  readonly components?: JsonObject
}

/** Of this name, which addons do not have, is in a context what makes a flow its client's: `caller` of `send`. */
export const CALLER: unique symbol = Symbol("llmproxy.caller")

export interface ServeContext {
  readonly [CALLER]: ClientInfo
  /** Who asks; undefined: nobody has named them. */
  readonly user: string | undefined
  /** What people read in its place. */
  readonly label: string | undefined
  /** What else the addon that named them knows; as `flow.client.claims`. */
  readonly claims: JsonObject | undefined
  /** The client's address, without its port. */
  readonly address: string
  /** Aborted when the client has left; `request.signal` is, too. */
  readonly signal: AbortSignal
  /** The addon's. */
  readonly log: Logger
}

/**
 * Answers one request. The bodies of both sides are streams: the request's breaks off beyond `bodyLimit` (and the client
 * gets 413), the answer's is read as fast as the client takes it, and cancelled when the client leaves. What is thrown is
 * one line in the log, and 500 to the client without the reason (503 while what addons keep cannot be reached); once the head is
 * out, a cut.
 */
export type ServeHandler = (request: Request, context: ServeContext) => Response | Promise<Response>

/**
 * Serves a path at the proxy's own address; to be called in `setup`. What is served is no flow, no hook sees it, and it
 * cannot be reached through the proxy. It answers before anything passes to `--base-upstream`: another method of such a
 * path is 405 (below `/v1/`, which is the upstream's, it passes on). Throws a UsageError for a path that is taken, is
 * below `/.llmproxy/`, or would take everything.
 */
export type Serve = (spec: ServeSpec, handler: ServeHandler) => void
