/**
 * What the HTTP/1.1 codec speaks of: heads, framings, events (RFC 9112). Types only; parser.ts reads, serializer.ts writes.
 */
import type { Headers } from "../base/headers.ts"

/** RFC 9112 section 6. `until-close` is for responses only. */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly length: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "until-close" }

export interface RequestHead {
  readonly method: string
  /** The request-target as it stood: origin-form, absolute-form, authority-form or `*`. */
  readonly target: string
  readonly version: "1.0" | "1.1"
  readonly headers: Headers
  readonly framing: Framing
  /** Whether the client lets the connection live after this message. */
  readonly keepAlive: boolean
  readonly expectContinue: boolean
  /** The value of Upgrade where Connection names it (never "h2c"), else undefined. */
  readonly upgrade: string | undefined
}

export interface ResponseHead {
  readonly version: "1.0" | "1.1"
  readonly status: number
  /** May be empty. latin1. */
  readonly reason: string
  readonly headers: Headers
  readonly framing: Framing
  readonly keepAlive: boolean
}

export type RequestEvent =
  | { readonly type: "head"; readonly head: RequestHead }
  | { readonly type: "data"; readonly bytes: Buffer }
  | { readonly type: "end"; readonly trailers: Headers | undefined }

export type ResponseEvent =
  | { readonly type: "informational"; readonly head: ResponseHead }
  | { readonly type: "head"; readonly head: ResponseHead }
  | { readonly type: "data"; readonly bytes: Buffer }
  | { readonly type: "end"; readonly trailers: Headers | undefined }

/** Limits on a head, trailers and chunk extensions included. */
export interface HeadLimits {
  /** Start line and field lines together, in bytes. */
  readonly headBytes: number
  /** Number of field lines. */
  readonly headFields: number
}

export const DEFAULT_HEAD_LIMITS: HeadLimits = { headBytes: 65_536, headFields: 200 }
