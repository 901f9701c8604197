/**
 * What is delivered to a client: a head and a body, from an upstream, from an addon's reply, or from a child's answer.
 */
import type { Duplex } from "node:stream"
import type { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import { BufferBody } from "../io/body-queue.ts"
import type { Body, StreamResponseHead } from "../streams.ts"

export interface Incoming {
  readonly head: StreamResponseHead
  readonly body: Body
  /** Once the body has ended. */
  trailers(): Headers | undefined
  abort(reason: FlowError): void
  /** After a 101: the byte stream behind it. */
  readonly tunnel: (() => Duplex) | undefined
}

/** An answer that is complete. */
export function wholeIncoming(head: StreamResponseHead, bytes: Buffer): Incoming {
  return { head, body: new BufferBody(bytes), trailers: () => undefined, abort: () => {}, tunnel: undefined }
}

/** An answer whose body a generator makes; the generator is closed when the flow breaks off. */
export function generatedIncoming(head: StreamResponseHead, pieces: AsyncGenerator<Buffer, void>): Incoming {
  return {
    head,
    body: {
      length: undefined,
      read: async () => {
        const next = await pieces.next()
        return next.done === true ? undefined : next.value
      },
    },
    trailers: () => undefined,
    abort: () => void pieces.return().catch(() => {}),
    tunnel: undefined,
  }
}
