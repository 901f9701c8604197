/**
 * What the pool knows of one target: its connections, and who waits for one. HTTP/1.1 requests wait for a connection,
 * HTTP/2 requests for room on a session; until it is known which of the two the target speaks, they wait for the first
 * dial to tell, so that a burst of requests does not make a connection each where one would carry them all.
 */
import { FlowError } from "../../base/errors.ts"
import type { Http1Upstream } from "../http1/upstream.ts"
import type { Http2Upstream } from "../http2/upstream.ts"
import type { UpstreamStream } from "../streams.ts"

/** Who waits, first come first. */
export class Line<T> {
  readonly #waiting: { resolve(value: T): void; reject(error: unknown): void }[] = []

  get length(): number {
    return this.#waiting.length
  }

  /** Resolves when it is one's turn. Rejects with a FlowError when `signal` gives up. */
  wait(signal: AbortSignal | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        const index = this.#waiting.indexOf(waiter)
        if (index >= 0) this.#waiting.splice(index, 1)
        reject(new FlowError("client", "client-gone", "the client left while it waited for a connection"))
      }
      const waiter = {
        resolve: (value: T) => {
          signal?.removeEventListener("abort", leave)
          resolve(value)
        },
        reject: (error: unknown) => {
          signal?.removeEventListener("abort", leave)
          reject(error)
        },
      }
      if (signal?.aborted === true) {
        leave()
        return
      }
      this.#waiting.push(waiter)
      signal?.addEventListener("abort", leave, { once: true })
    })
  }

  /** Gives `make()` to whoever waits longest; false: nobody does. */
  serve(make: () => T): boolean {
    const waiter = this.#waiting.shift()
    waiter?.resolve(make())
    return waiter !== undefined
  }

  failAll(error: unknown): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error)
  }
}

export class Origin {
  readonly key: string
  /** What it speaks, once a dial has told. */
  speaks: "h1" | "h2" | undefined
  /** Connections that exist or are being made; sessions that only finish their streams are not counted. */
  count = 0
  /** Dials under way. */
  dialling = 0
  /** HTTP/1.1 connections that carry nothing. The last one is the freshest, and is taken first. */
  readonly idle: Http1Upstream[] = []
  /** For HTTP/1.1: a free connection, or undefined: the place of one that has gone, counted already. */
  readonly waiting = new Line<Http1Upstream | undefined>()
  /** HTTP/2 sessions that take streams. */
  readonly sessions: Http2Upstream[] = []
  /** For HTTP/2, and while nothing is known: a stream, or undefined: look again. */
  readonly pending = new Line<UpstreamStream | undefined>()
  /** A further session could not be had: those that exist have to do until one of them goes. */
  #contentWith = 0

  constructor(key: string, speaks: Origin["speaks"]) {
    this.key = key
    this.speaks = speaks
  }

  get unused(): boolean {
    return this.count === 0 && this.waiting.length === 0 && this.pending.length === 0
  }

  /** A session with room, if possible not the one whose id is `avoid`. */
  sessionWithRoom(avoid: number | undefined): Http2Upstream | undefined {
    return this.sessions.find((session) => session.room > 0 && session.info.id !== avoid)
  }

  /** Whether another session may be dialled now. One at a time: the next one may carry all that wait. */
  mayDial(max: number): boolean {
    if (this.dialling > 0 || this.count >= max) return false
    if (this.sessions.some((session) => !session.spoken)) return false
    return this.#contentWith === 0 || this.sessions.length < this.#contentWith
  }

  /** A dial beside sessions that exist has failed. */
  makeDo(): void {
    this.#contentWith = this.sessions.length
  }

  addSession(session: Http2Upstream): void {
    this.speaks = "h2"
    this.#contentWith = 0
    this.sessions.push(session)
  }

  removeSession(session: Http2Upstream): void {
    const index = this.sessions.indexOf(session)
    if (index >= 0) this.sessions.splice(index, 1)
  }

  /** Gives room to those that wait for it; one of those that are left may dial. */
  servePending(max: number): void {
    while (this.pending.length > 0) {
      if (this.speaks === "h1") {
        this.pending.serve(() => undefined)
        continue
      }
      const session = this.sessionWithRoom(undefined)
      if (session === undefined) break
      this.pending.serve(() => session.open())
    }
    if (this.mayDial(max)) this.pending.serve(() => undefined)
  }
}
