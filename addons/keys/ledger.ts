/**
 * Where it is counted what keys use. A request of a key with limits is reserved before it leaves, in one step with the check, and
 * settled when it has ended, whatever its end; that of another key is only added. What keeps the counts implements this:
 * ledger-sql.ts the database, ledger-redis.ts a Redis.
 */
import type { Amounts, Refused, Standing, Wish } from "./judge.ts"

export interface Reservation extends Wish {
  /** The flow's. What is settled twice under it counts once. */
  readonly id: string
  readonly key: string
}

/** What a request has used. Its one request was counted when it was reserved. */
export interface Settlement {
  readonly id: string
  readonly key: string
  /** Its start, as it was reserved. */
  readonly at: number
  readonly tokens: number
  readonly money: number
}

export interface Ledger {
  /** Rejects when the counts cannot be reached. */
  reserve(reservation: Reservation): Promise<Refused | readonly Standing[]>
  /** Never rejects: it is tried again while the process lives, and then the lease decides. Resolves when it is written. */
  settle(settlement: Settlement): Promise<void>
  /** Of a key without limits: written soon, with others. */
  add(key: string, at: number, amounts: Amounts): void
  /** What keys have used in the spans of these names. */
  used(key: string, spans: readonly string[]): Promise<readonly Amounts[]>
  /** Keeps what this process has reserved, and ends what others have left behind. On the clock. Never rejects. */
  renew(): Promise<void>
  /** Writes what waits. */
  close(): Promise<void>
}

export const NOTHING: Amounts = { requests: 0, tokens: 0, money: 0 }

export function sum(one: Amounts, other: Amounts): Amounts {
  return { requests: one.requests + other.requests, tokens: one.tokens + other.tokens, money: one.money + other.money }
}
