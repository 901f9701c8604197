/**
 * What an addon tells a pool of targets, and what it is told: settings, where a flow may go, what came of it.
 */
import type { Answer, Flow, RespondOptions } from "../api/flow.ts"
import type { Attempt } from "./attempts.ts"
import type { Order } from "./order.ts"
import type { Refusal } from "./refusal.ts"
import type { Target } from "./target.ts"

/** Requests that wait for one target, where it does not say itself. */
export const WAITING_MAX = 100
/** Milliseconds that the first failure of a target counts; each further one twice as long, up to `REST_MS_MAX`. */
export const COOLDOWN_MS = 5_000
/** Milliseconds until the first word of an answer; one that comes whole has five times as long. */
export const FIRST_WORD_MS = 120_000

export interface PoolSettings {
  /** Default: `COOLDOWN_MS`. Read at each failure. */
  readonly cooldownMs?: () => number
  /** Until the first word, of attempts that others may follow. Default: `FIRST_WORD_MS`. */
  readonly timeoutMs?: () => number
  /** A number of [0, 1). Default: Math.random. */
  readonly random?: () => number
  /** Somebody begins to wait in a target's line; what it gives is called when that is over. For `QueueMetrics`. */
  readonly waits?: (target: Target) => () => void
  /** Each attempt once its result is known; for metrics. */
  readonly attempted?: (attempt: Readonly<Attempt>, target: Target, flow: Flow) => void
}

/** Where a flow may go, and how. */
export interface Plan {
  /** At least one. */
  readonly targets: readonly Target[]
  /** Default: `listed`. */
  readonly order?: Order
  /** The route's name. Default: the target's. */
  readonly name?: string
  /** Why these, for people; what failed is told behind it. */
  readonly reason?: string
  /** The URL of this request at a target. Default: `urlAt` with the request's path. */
  readonly urlFor?: (target: Target) => string
  /** The body for a target. Default: `bodyAt`; a form that names a model is the caller's affair. */
  readonly bodyFor?: (target: Target) => Uint8Array
  /** How an answer of an attempt is handed on. */
  readonly respond?: RespondOptions
  /** What a client that waits in a line, or for attempts, is kept alive with. Default: it is not, so that statuses stay true. */
  readonly keepAlive?: string
}

/** `routed`: the flow itself goes there. `answered`: it was answered with what that target said, which may be an error. */
export type Taken =
  | { readonly kind: "routed"; readonly target: Target }
  | { readonly kind: "answered"; readonly target: Target; readonly answer: Answer }
  | { readonly kind: "refused"; readonly refusal: Refusal }

/** How a target stands, for lists and pages. */
export interface TargetState {
  /** `resting`: it has failed, and is asked last; `tried`: one request finds out whether it is well again. */
  readonly health: "well" | "resting" | "tried"
  readonly why: string | undefined
  readonly restMs: number
  readonly serving: number
  readonly waiting: number
}
