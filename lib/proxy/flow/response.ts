/**
 * The response of a flow as addons see it, and what they asked for in `responseHeaders`: a copy, a transform, a hold.
 */

import type {
  ChunkTransform,
  Completion,
  CompletionChange,
  FlowResponse,
  JsonValue,
  StreamTransform,
} from "../../api/flow.ts"
import type { Headers } from "../../base/headers.ts"
import { Pieces } from "../../base/pieces.ts"
import { parseSetCookie, type SetCookie } from "../../base/set-cookie.ts"
import { statusText } from "../../http1/status-text.ts"
import type { LoadedAddon } from "../../loader/chain.ts"
import { ContentDecoder } from "../body/content-coding.ts"
import type { MemoryShare } from "../body/memory.ts"
import type { StreamResponseHead } from "../streams.ts"
import { asBuffer, dropBodyFields } from "./request.ts"

/** Of a response that is not, or not any more, the one whose head is there. */
export const PAST: ResponseActions = {
  isOpen: false,
  completion: undefined,
  edit() {
    throw new Error("response.completion comes too late: the response has been replaced")
  },
  collect: () => Promise.reject(new Error("the response has been replaced")),
}

/** What a response can do for its hooks while the flow is in `responseHeaders`. */
export interface ResponseActions {
  /** False once `responseHeaders` is over: nothing can be asked for any more. Default: true. */
  readonly isOpen?: boolean
  /** Reads the whole decoded body. */
  collect(): Promise<Buffer>
  /** What the answer means, once it is known. */
  readonly completion: Completion | undefined
  /** Says what it is to mean. Throws where that comes too late. */
  edit(change: CompletionChange): void
}

export class FlowResponseState implements FlowResponse {
  readonly headers: Headers
  keepBytes = 0
  holding = false
  /** Who has asked to hold the answer, and so hears first what it means. */
  readonly holders = new Set<LoadedAddon>()
  truncated = false
  /** The body that an addon set, in place of the upstream's. */
  replaced: Buffer | undefined
  readonly chunkTransforms: ChunkTransform[] = []
  readonly deltaTransforms: StreamTransform[] = []
  readonly #head: StreamResponseHead
  #actions: ResponseActions
  #memory: MemoryShare
  #pieces = new Pieces()
  #size = 0
  #collected: Buffer | undefined
  #status: number
  #reason: string
  #coding: ContentDecoder | undefined
  #storing = false
  /** Why the kept copy could not be decoded. */
  #undecodable: unknown

  constructor(head: StreamResponseHead, memory: MemoryShare, actions: ResponseActions) {
    this.#head = head
    this.#status = head.status
    this.#reason = head.reason
    this.headers = head.headers
    this.#memory = memory
    this.#actions = actions
  }

  get status(): number {
    return this.#status
  }

  /** Sets the reason phrase as well: the old one would say something else. */
  set status(value: number) {
    this.#check("status")
    if (!Number.isInteger(value) || value < 200 || value > 999)
      throw new RangeError(`response.status: ${value} is none of a final response; write 200 to 999`)
    if (value === this.#status) return
    this.#status = value
    this.#reason = statusText(value)
  }

  get reason(): string {
    return this.#reason
  }

  set reason(value: string) {
    this.#check("reason")
    this.#reason = value
  }

  /** Whether the answer leaves under the head that it came with, and with the body that it came with. */
  get untouched(): boolean {
    const { status, reason } = this.#head
    return this.replaced === undefined && this.#status === status && this.#reason === reason
  }

  get cookies(): SetCookie[] {
    return this.headers.getAll("set-cookie").flatMap((field) => parseSetCookie(field) ?? [])
  }

  get transforming(): boolean {
    return this.chunkTransforms.length > 0 || this.deltaTransforms.length > 0
  }

  /** Whether `bytes`, `text` and `json()` can be read. */
  get readable(): boolean {
    return this.#collected !== undefined || (this.keepBytes > 0 && this.#undecodable === undefined)
  }

  get bytes(): Buffer {
    if (this.#collected !== undefined) return this.#collected
    if (this.keepBytes === 0)
      throw new Error("response body not kept: call flow.response.keep(maxBytes) in responseHeaders first")
    if (this.#undecodable !== undefined) throw this.#undecodable
    return this.#pieces.concat()
  }

  set bytes(value: Uint8Array) {
    this.#replace("bytes", asBuffer(value, "response.bytes"))
  }

  get text(): string {
    return this.bytes.toString("utf8")
  }

  set text(value: string) {
    this.#replace("text", Buffer.from(value, "utf8"))
  }

  json(): JsonValue {
    return JSON.parse(this.text.replace(/^\uFEFF/, "")) as JsonValue
  }

  get completion(): Completion | undefined {
    return this.#actions.completion
  }

  set completion(change: CompletionChange) {
    this.#actions.edit(change)
  }

  keep(maxBytes: number): void {
    this.#check("keep")
    this.keepBytes = Math.max(this.keepBytes, maxBytes)
  }

  async collect(): Promise<void> {
    this.#check("collect")
    this.#collected ??= await this.#actions.collect()
  }

  transform(fn: ChunkTransform): void {
    this.#check("transform")
    this.chunkTransforms.push(fn)
  }

  transformDeltas(fn: StreamTransform): void {
    this.#check("transformDeltas")
    this.deltaTransforms.push(fn)
  }

  hold(holder?: LoadedAddon): void {
    this.#check("hold")
    this.holding = true
    if (holder !== undefined) this.holders.add(holder)
  }

  /** From the exchange: another one takes its place, for which all that was asked of it holds. */
  leaveTo(other: FlowResponseState): void {
    this.#actions = PAST
    other.keepBytes = this.keepBytes
    other.holding = this.holding
    for (const holder of this.holders) other.holders.add(holder)
    other.chunkTransforms.push(...this.chunkTransforms)
    other.deltaTransforms.push(...this.deltaTransforms)
  }

  /** From the exchange: the answer is held, and this is what it decodes to. */
  holdBytes(bytes: Buffer): void {
    this.#collected = bytes
  }

  /** From the exchange: a piece that was sent. A promise only where a Content-Encoding has to be taken off. */
  store(piece: Buffer): Promise<void> | undefined {
    if (!this.#storing) this.#startStoring()
    if (this.truncated || this.#undecodable !== undefined) return undefined
    if (this.#coding !== undefined) return this.#storeDecoded(this.#coding, piece)
    this.#add(piece)
    return undefined
  }

  /** From the exchange: nothing more will come. */
  close(): void {
    this.#coding?.close()
    this.#coding = undefined
  }

  #replace(what: "bytes" | "text", bytes: Buffer): void {
    if (this.#actions.isOpen === false || this.#collected === undefined)
      throw new Error(`response.${what} can be set in responseHeaders, after await flow.response.collect()`)
    this.replaced = bytes
    this.#collected = bytes
    dropBodyFields(this.headers)
  }

  #startStoring(): void {
    this.#storing = true
    try {
      this.#coding = ContentDecoder.for(this.headers.get("content-encoding"))
    } catch (thrown) {
      this.#undecodable = thrown
    }
  }

  async #storeDecoded(coding: ContentDecoder, piece: Buffer): Promise<void> {
    try {
      for await (const decoded of coding.feed(piece)) {
        this.#add(decoded)
        if (this.truncated) break // The rest is of no use: it is not even decoded.
      }
    } catch (thrown) {
      this.#undecodable = thrown
    }
  }

  #add(piece: Buffer): void {
    const room = this.keepBytes - this.#size
    if (room <= 0 || !this.#memory.take(Math.min(room, piece.length))) {
      this.truncated = true
      return
    }
    // A copy: the piece is a view on a buffer that is much larger.
    this.#pieces.push(Buffer.from(piece.subarray(0, room)))
    this.#size += Math.min(room, piece.length)
    if (piece.length > room) this.truncated = true
  }

  #check(what: string): void {
    if (this.#actions.isOpen === false)
      throw new Error(`flow.response.${what} comes too late: the place for it is responseHeaders`)
  }
}
