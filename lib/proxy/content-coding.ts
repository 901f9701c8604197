/**
 * Takes off Content-Encoding (RFC 9110 section 8.4): whole bodies, and streams piece by piece, flushed for each piece so
 * that an event never waits for the next. Output is bounded: a few kilobytes may hold gigabytes.
 */
import zlib from "node:zlib"
import { FlowError } from "../errors.ts"

/** Decoded bytes that one stream may give, whatever the limits of those who read it. */
const DECODED_BYTES_MAX = 1_073_741_824

type Transform = zlib.Gunzip | zlib.Inflate | zlib.BrotliDecompress

const SYNC = { flush: zlib.constants.Z_SYNC_FLUSH, finishFlush: zlib.constants.Z_SYNC_FLUSH }
const BROTLI = {
  flush: zlib.constants.BROTLI_OPERATION_FLUSH,
  finishFlush: zlib.constants.BROTLI_OPERATION_FLUSH,
}

/** Node has zstd from 22.15 on. */
type ZstdFactory = (options?: object) => Transform
const createZstd: ZstdFactory | undefined =
  "createZstdDecompress" in zlib && typeof zlib.createZstdDecompress === "function"
    ? (zlib.createZstdDecompress as ZstdFactory)
    : undefined

function transformFor(coding: string): Transform | undefined {
  if (coding === "gzip" || coding === "x-gzip") return zlib.createGunzip(SYNC)
  if (coding === "deflate") return zlib.createInflate(SYNC)
  if (coding === "br") return zlib.createBrotliDecompress(BROTLI)
  return coding === "zstd" ? createZstd?.() : undefined
}

/** The codings of a Content-Encoding value in the order in which they are taken off; [] for identity. */
export function codingsOf(contentEncoding: string | undefined): string[] {
  const names = (contentEncoding ?? "").split(",").map((name) => name.trim().toLowerCase())
  return names.filter((name) => name !== "" && name !== "identity").reverse()
}

/** Decodes a stream. One coding, which is all that is seen in the wild; more are refused. */
export class ContentDecoder {
  #transform: Transform
  #total = 0
  #error: FlowError | undefined
  #out: Buffer[] = []

  private constructor(transform: Transform) {
    this.#transform = transform
    transform.on("readable", () => this.#drain())
    transform.on("error", (cause) => {
      this.#error = new FlowError("upstream", "bad-encoding", `the content could not be decoded: ${cause.message}`, {
        cause,
      })
    })
  }

  /** Undefined: nothing to take off. Throws a FlowError for a coding that cannot be taken off here. */
  static for(contentEncoding: string | undefined): ContentDecoder | undefined {
    const codings = codingsOf(contentEncoding)
    if (codings.length === 0) return undefined
    const transform = codings.length === 1 ? transformFor(codings[0] ?? "") : undefined
    if (transform !== undefined) return new ContentDecoder(transform)
    throw new FlowError("upstream", "unknown-encoding", `Content-Encoding ${contentEncoding} cannot be decoded here`)
  }

  /** Everything that `piece` gives. Rejects with a FlowError, and again on each later call. */
  async feed(piece: Buffer): Promise<Buffer[]> {
    if (this.#error !== undefined) throw this.#error
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#transform.off("error", done)
        resolve()
      }
      this.#transform.once("error", done)
      this.#transform.write(piece, done)
    })
    this.#drain()
    if (this.#error !== undefined) throw this.#error
    const out = this.#out
    this.#out = []
    return out
  }

  close(): void {
    this.#transform.destroy()
  }

  #drain(): void {
    for (let piece = this.#transform.read(); Buffer.isBuffer(piece); piece = this.#transform.read()) {
      this.#total += piece.length
      if (this.#total > DECODED_BYTES_MAX) {
        this.#error = new FlowError(
          "upstream",
          "decoded-too-large",
          `decoded content exceeds ${DECODED_BYTES_MAX} bytes`,
        )
        this.#transform.destroy()
        return
      }
      this.#out.push(piece)
    }
  }
}

/**
 * A whole body, decoded. Rejects with a FlowError when a coding is unknown, the bytes are broken, or the result
 * exceeds `maxBytes`.
 */
export async function decodeContent(
  bytes: Buffer,
  contentEncoding: string | undefined,
  maxBytes: number,
): Promise<Buffer> {
  const decoder = ContentDecoder.for(contentEncoding)
  if (decoder === undefined) return bytes
  try {
    const pieces = await decoder.feed(bytes)
    const decoded = Buffer.concat(pieces)
    if (decoded.length <= maxBytes) return decoded
    throw new FlowError("client", "decoded-too-large", `decoded content exceeds ${maxBytes} bytes`, { status: 413 })
  } finally {
    decoder.close()
  }
}
