/**
 * The sending half towards the client. Usually it passes calls on. A client that waits for a stream can be kept alive:
 * then the head (200) leaves before the answer is known, and the answer's own head is never sent.
 */
import type { Clock, Timer } from "../../base/clock.ts"
import type { FlowError } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import type { ClientStream, StreamResponseHead } from "../streams.ts"

/** What a dialect's stream looks like, as far as waiting goes. */
export interface StreamFormat {
  readonly contentType: string
  /** A comment that readers skip. */
  comment(note: string): string
}

/** Fields that keep intermediaries from holding a stream back. */
export const STREAM_FIELDS: readonly (readonly [string, string])[] = [
  ["Cache-Control", "no-cache"],
  ["X-Accel-Buffering", "no"],
]

export class ClientDelivery {
  readonly client: ClientStream
  /** `kept`: a head and comments were sent while the answer was not known. */
  state: "nothing" | "kept" | "head" | "over" = "nothing"
  #clock: Clock
  #keepAliveMs: number
  #timer: Timer | undefined
  #format: StreamFormat | undefined
  #note = ""
  /** The client has left, and what comes is for others alone. */
  #isLetGo = false

  constructor(client: ClientStream, clock: Clock, keepAliveMs: number) {
    this.client = client
    this.#clock = clock
    this.#keepAliveMs = keepAliveMs
  }

  /** Starts to keep the client alive: the first comment after `keepAliveMs`, then one each time that passes. */
  keepAlive(format: StreamFormat, note: string): void {
    this.#note = note
    if (this.#isLetGo || this.#format !== undefined || this.state !== "nothing") return
    this.#format = format
    this.#schedule()
  }

  /** Sends the answer's head; where a head has been sent already, `note` is said in a comment. */
  head(head: StreamResponseHead, length: number | undefined, note: () => string): void {
    this.stop()
    if (this.#isLetGo) this.#format = undefined
    else if (this.state === "nothing") this.client.respond(head, length)
    else if (this.#format !== undefined) this.client.write(Buffer.from(this.#format.comment(note()), "utf8"))
    this.state = "head"
  }

  /** Sends a 101: what follows are the bytes of another protocol, and nothing of this one. */
  agree(head: StreamResponseHead): void {
    this.client.respond(head, undefined)
    this.state = "over"
  }

  write(bytes: Buffer): boolean {
    return this.#isLetGo || this.client.write(bytes)
  }

  ready(): Promise<void> {
    return this.#isLetGo ? Promise.resolve() : this.client.ready()
  }

  end(trailers?: Headers): void {
    this.stop()
    this.state = "over"
    if (!this.#isLetGo) this.client.end(trailers)
  }

  /** The client has left: what is its own ends now, and whatever is written from now on goes nowhere. */
  letGo(reason: FlowError): void {
    this.stop()
    if (this.#isLetGo) return
    this.#isLetGo = true
    if (this.state !== "over") this.client.abort(reason)
  }

  abort(reason: FlowError): void {
    this.stop()
    if (this.state === "over") return
    this.state = "over"
    if (!this.#isLetGo) this.client.abort(reason)
  }

  /** Undoes `keepAlive`, as long as nothing was sent: then the answer's own head can still leave. */
  letBe(): void {
    if (this.state !== "nothing") return
    this.stop()
    this.#format = undefined
  }

  /** No more comments. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #schedule(): void {
    this.#timer = this.#clock.after(this.#keepAliveMs, () => {
      // A client that reads nothing needs no comments, and they would fill memory.
      if (this.#comment()) this.#schedule()
      else
        this.ready().then(
          () => this.state === "kept" && this.#schedule(),
          () => {},
        )
    })
  }

  /** False: the client has not read what it was sent. */
  #comment(): boolean {
    const format = this.#format
    if (format === undefined || this.state === "head" || this.state === "over") return true
    if (this.state === "nothing") {
      const headers = new Headers([
        ["Content-Type", format.contentType],
        ...STREAM_FIELDS,
        ["x-llmproxy-route", "pending"],
      ])
      this.client.respond({ status: 200, reason: "OK", headers }, undefined)
      this.state = "kept"
    }
    return this.client.write(Buffer.from(format.comment(this.#note), "utf8"))
  }
}
