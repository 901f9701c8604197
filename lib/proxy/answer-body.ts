/**
 * The body of an answer to a flow that an addon sent, without its coding: pulled piece by piece, each read once. Behind a
 * Content-Encoding that nobody knows the bytes come as they are, which is how clients read them; whether they mean
 * anything is for the reader to say.
 */
import { ContentDecoder } from "./content-coding.ts"
import type { InnerClient } from "./inner-client.ts"
import type { StreamResponseHead } from "./streams.ts"

export class AnswerBody {
  /** Whether it had a coding, which is off by now. */
  readonly coded: boolean
  /** Why its coding cannot be taken off. */
  readonly undecodable: unknown
  /** Nothing more will come. */
  ended = false
  readonly #output: InnerClient["output"]
  readonly #coding: ContentDecoder | undefined
  #decoding: AsyncGenerator<Buffer, void> | undefined
  #finished = false

  constructor({ headers }: StreamResponseHead, output: InnerClient["output"]) {
    this.#output = output
    try {
      this.#coding = ContentDecoder.for(headers.get("content-encoding"))
    } catch (thrown) {
      this.undecodable = thrown
    }
    this.coded = this.#coding !== undefined
  }

  /** The next decoded piece; undefined at the end. Rejects when the body breaks off. */
  async next(): Promise<Buffer | undefined> {
    while (!this.ended) {
      const decoded = await this.#decoding?.next()
      if (decoded !== undefined && decoded.done !== true) return decoded.value
      this.#decoding = undefined
      const piece = await this.#output.read()
      if (piece !== undefined && this.#coding === undefined) return piece
      if (piece !== undefined) this.#decoding = this.#coding?.feed(piece)
      else this.#decoding = this.#finish()
    }
    return undefined
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
