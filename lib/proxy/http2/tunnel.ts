/**
 * A stream of HTTP/2 as the raw byte stream that a tunnel relays: each direction ends by itself, both keep
 * backpressure, and a reset is an error, where Node's own stream would end as if all had been well.
 */
import { Duplex } from "node:stream"
import { FlowError, messageOf } from "../../base/errors.ts"
import type { UpstreamStream } from "../streams.ts"

/** What a tunnel needs of a stream. */
export type TunnelEnds = Pick<UpstreamStream, "body" | "write" | "ready" | "end" | "abort">

export class H2Tunnel extends Duplex {
  #ends: TunnelEnds
  #reading = false

  constructor(ends: TunnelEnds) {
    super({ allowHalfOpen: true })
    this.#ends = ends
    this.on("error", () => {}) // Before the relay listens nobody does, and that would end the process.
  }

  override _read(): void {
    if (this.#reading) return
    this.#reading = true
    this.#ends.body.read().then(
      (piece) => {
        this.#reading = false
        this.push(piece ?? null)
      },
      (thrown) => this.destroy(asError(thrown)),
    )
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#ends.write(bytes)) done()
    else this.#ends.ready().then(() => done(), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#ends.end()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // Harmless when both directions have ended.
    this.#ends.abort(new FlowError("client", "tunnel-closed", error?.message ?? "the tunnel was closed"))
    done(error)
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(messageOf(thrown))
}
