/**
 * One request of a session after the other: in this process by a queue, in the order in which they came, and among processes by the
 * session's lease.
 */
import { randomUUID } from "node:crypto"
import type { Clock, Logger, Message } from "llmproxy"
import { LEASE_MS, type SessionId, type SessionStore } from "./store.ts"

/** Milliseconds until a session that another process has is tried again. */
export const RETRY_MS = 250
/** Requests of one session that wait or run. */
const WAITING_MAX = 64
/** A lease is renewed so many times within its length. */
const RENEWALS = 3

/** Too many requests wait for one session. */
export class SessionBusy extends Error {
  override name = "SessionBusy"
}

/** The session is this request's until it leaves. */
export interface Turn {
  readonly messages: readonly Message[]
  /** Rejects with a LeaseLost. */
  append(messages: readonly Message[]): Promise<void>
  /** Never rejects. A second call does nothing. */
  leave(): Promise<void>
}

export class Turns {
  readonly #store: SessionStore
  readonly #clock: Clock
  readonly #log: Logger
  /** Who comes last in each session, and how many they are. */
  readonly #last = new Map<string, { readonly gone: Promise<void>; readonly waiting: number }>()

  constructor(store: SessionStore, clock: Clock, log: Logger) {
    this.#store = store
    this.#clock = clock
    this.#log = log
  }

  /** Resolves when it is this request's turn. Rejects with a SessionBusy, and with the signal's reason. */
  async enter(session: SessionId, signal: AbortSignal): Promise<Turn> {
    const key = JSON.stringify([session.owner, session.id])
    const before = this.#last.get(key)
    const waiting = (before?.waiting ?? 0) + 1
    if (waiting > WAITING_MAX)
      throw new SessionBusy(`session ${session.id}: ${WAITING_MAX} requests wait for it already; try again later`)
    let go = () => {}
    const gone = new Promise<void>((resolve) => {
      go = resolve
    })
    const own = { gone, waiting }
    this.#last.set(key, own)
    const away = () => {
      go()
      if (this.#last.get(key) === own) this.#last.delete(key)
    }
    try {
      // Who leaves while waiting still keeps the order of the others.
      await before?.gone
      signal.throwIfAborted()
      return await this.#leased(session, signal, away)
    } catch (thrown) {
      away()
      throw thrown
    }
  }

  async #leased(session: SessionId, signal: AbortSignal, away: () => void): Promise<Turn> {
    const lease = randomUUID()
    while (!(await this.#store.take(session, lease))) await this.#pause(signal)
    let isOver = false
    let timer = this.#clock.after(0, () => {})
    const renew = () => {
      timer = this.#clock.after(LEASE_MS / RENEWALS, () => {
        void this.#store.renew(session, lease).catch((thrown) => this.#told(session, thrown))
        renew()
      })
    }
    const leave = async () => {
      if (isOver) return
      isOver = true
      timer.cancel()
      await this.#store.leave(session, lease).catch((thrown) => this.#told(session, thrown))
      away()
    }
    renew()
    try {
      const messages = await this.#store.messages(session)
      return { messages, append: (added) => this.#store.append(session, lease, added), leave }
    } catch (thrown) {
      await leave()
      throw thrown
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        timer.cancel()
        reject(signal.reason)
      }
      const timer = this.#clock.after(RETRY_MS, () => {
        signal.removeEventListener("abort", leave)
        resolve()
      })
      signal.addEventListener("abort", leave, { once: true })
      if (signal.aborted) leave()
    })
  }

  #told({ id }: SessionId, thrown: unknown): void {
    this.#log.warn(`session ${JSON.stringify(id)}: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
  }
}
