/**
 * What a stream of HTTP/2 receives, put into its BodyQueue at once. Node would keep what nobody reads yet as it came,
 * up to the whole window, and frames of one byte each would cost a hundred times that. Nothing but the end is left in
 * Node's stream: flow control follows the queue.
 */
import type { Http2Stream } from "node:http2"
import type { BodyQueue } from "../io/body-queue.ts"

export class Inbox {
  /** END_STREAM has come since this was made: no reset, and no lost connection. */
  ended = false
  readonly #stream: Http2Stream
  readonly #queue: BodyQueue
  readonly #read: Http2Stream["_read"]
  #begun = false

  /** `onBytes` is called before bytes are queued. Of the stream, `end` comes when nothing more does, read or not. */
  constructor(stream: Http2Stream, queue: BodyQueue, onBytes: () => void) {
    const { push } = stream
    this.#stream = stream
    this.#queue = queue
    this.#read = stream._read
    stream._read = () => this.flow()
    const early: unknown = stream.read() // Of a client, what came in one piece with the head.
    if (Buffer.isBuffer(early)) queue.push(early)
    // Node pushes the end when END_STREAM comes, and again when a reset closes the stream, where `closed` is already
    // set; no event and no code tells the two apart.
    stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (!Buffer.isBuffer(chunk)) {
        if (chunk === null && !stream.closed) this.ended = true
        return push.call(stream, chunk, encoding)
      }
      onBytes()
      return queue.push(chunk)
    }
  }

  /** Reading begins: until then the peer may send its window and no more. */
  begin(): void {
    this.#begun = true
    this.flow()
    this.#stream.resume() // Nothing but the end will come of it.
  }

  /** The queue has room: the peer may send more. */
  flow(): void {
    if (this.#begun && !this.#queue.full && !this.#stream.destroyed) this.#read.call(this.#stream, 0)
  }
}

/** A stream whose bytes nobody will read: they are dropped, and no more of them are asked for. */
export function discard(stream: Http2Stream): void {
  const { push } = stream
  stream._read = () => {}
  stream.read()
  stream.push = (chunk: unknown, encoding?: BufferEncoding) => chunk === null && push.call(stream, chunk, encoding)
}
