/**
 * The body of an answer to a flow that an addon sent, without its coding: pulled piece by piece, each read once. Behind a
 * Content-Encoding that nobody knows, or that was never applied, the bytes come as they are; whether they mean anything is
 * for the reader to say.
 */
import { Pieces } from "../../base/pieces.ts"
import { ContentDecoder } from "../body/content-coding.ts"
import { framingIn } from "../body/observe.ts"
import type { StreamResponseHead } from "../streams.ts"
import type { InnerClient } from "./inner-client.ts"

/** Bytes that may give no content: then they are kept, should they turn out to be no coding's. */
const UNTOLD_BYTES_MAX = 65_536

export class AnswerBody {
  /** Why its coding cannot be taken off. */
  readonly undecodable: unknown
  /** Nothing more will come. */
  ended = false
  readonly #output: InnerClient["output"]
  #coding: ContentDecoder | undefined
  /** What came while its decoder has said nothing. */
  #untold: Pieces | undefined
  #decoding: AsyncGenerator<Buffer, void> | undefined
  #finished = false

  constructor({ headers }: StreamResponseHead, output: InnerClient["output"]) {
    this.#output = output
    try {
      this.#coding = ContentDecoder.for(headers.get("content-encoding"))
    } catch (thrown) {
      this.undecodable = thrown
    }
    if (this.#coding !== undefined) this.#untold = new Pieces()
  }

  /** Whether it had a coding, which is off by now. */
  get coded(): boolean {
    return this.#coding !== undefined
  }

  /** The next decoded piece; undefined at the end. Rejects when the body breaks off. */
  async next(): Promise<Buffer | undefined> {
    try {
      return await this.#next()
    } catch (thrown) {
      const bytes = this.#untold?.concat()
      if (bytes === undefined || bytes.length === 0 || framingIn(bytes) === "none") throw thrown
      this.close()
      this.#coding = undefined
      this.#decoding = undefined
      this.#untold = undefined
      return bytes
    }
  }

  async #next(): Promise<Buffer | undefined> {
    while (!this.ended) {
      const decoded = await this.#decoding?.next()
      if (decoded !== undefined && decoded.done !== true) {
        this.#untold = undefined
        return decoded.value
      }
      this.#decoding = undefined
      const piece = await this.#output.read()
      if (piece !== undefined && this.#coding === undefined) return piece
      if (piece !== undefined) this.#keep(piece)
      if (piece !== undefined) this.#decoding = this.#coding?.feed(piece)
      else this.#decoding = this.#finish()
    }
    return undefined
  }

  #keep(piece: Buffer): void {
    this.#untold?.push(piece)
    if ((this.#untold?.bytes ?? 0) > UNTOLD_BYTES_MAX) this.#untold = undefined
  }

  close(): void {
    this.#coding?.close()
  }

  /** The end of the body, and what a coding still holds back. */
  #finish(): AsyncGenerator<Buffer, void> | undefined {
    const coding = this.#finished ? undefined : this.#coding
    this.#finished = true
    if (coding !== undefined) return coding.finish()
    this.ended = true
    this.close()
    return undefined
  }
}
