/**
 * The exchanges of the conformance table: what a client asks, what the origin does, and what both must have seen,
 * whatever lies between them. No clock takes part: what has to wait, waits for the other side.
 */
import type { Test } from "tap"
import type { Client } from "./client.ts"
import { BODIES } from "./exchange-bodies.ts"
import { ENDINGS } from "./exchange-endings.ts"
import { HEADS } from "./exchange-heads.ts"
import { STREAMS } from "./exchange-streams.ts"
import type { Serve } from "./origin.ts"

export interface Exchange {
  /** A sentence: the rule. */
  readonly name: string
  /** The path is its own; `serve` may be called several times. */
  readonly path: string
  readonly serve: Serve
  /** The answer is the proxy's own: there is none without it. */
  readonly proxied?: boolean
  /** `another` opens a further connection of the same kind. */
  run(t: Test, client: Client, another: () => Promise<Client>): Promise<void>
}

export const EXCHANGES: readonly Exchange[] = [...BODIES, ...HEADS, ...STREAMS, ...ENDINGS]
