/**
 * Takes off Content-Encoding (RFC 9110 section 8.4): whole bodies, and streams piece by piece, flushed for each piece so
 * that an event never waits for the next. Output is pulled: a few kilobytes may hold gigabytes, and no more of them is
 * made than somebody reads.
 */
import { PassThrough, type Transform } from "node:stream"
import zlib from "node:zlib"
import { FlowError } from "../../base/errors.ts"

type Done = (thrown?: Error | null) => void

const SYNC = { flush: zlib.constants.Z_SYNC_FLUSH }
const BROTLI = { flush: zlib.constants.BROTLI_OPERATION_FLUSH }
/** The method of a zlib header (RFC 1950 section 2.2); servers that send bare deflate have no such header. */
const ZLIB_METHOD = 8

/** Node has zstd from 22.15 on. */
type ZstdFactory = (options?: object) => Transform
const createZstd: ZstdFactory | undefined =
  "createZstdDecompress" in zlib && typeof zlib.createZstdDecompress === "function"
    ? (zlib.createZstdDecompress as ZstdFactory)
    : undefined

/**
 * What servers say there that is no coding: the character set, the transfer encodings of mail that change nothing, the
 * chunks that the framing has taken off. curl, undici, httpx and browsers read such a body as it is, so that their users
 * never notice. Other unknown names may be codings.
 */
const NO_CODINGS: ReadonlySet<string> = new Set([
  "identity",
  "none",
  "utf-8",
  "utf8",
  "utf_8",
  "us-ascii",
  "ascii",
  "iso-8859-1",
  "latin1",
  "binary",
  "7bit",
  "8bit",
  "chunked",
])

/** How JSON, JSON lines and server-sent events begin, or white space and a byte order mark before them. */
const PLAIN_FIRST_BYTES: ReadonlySet<number> = new Set(Buffer.from("{[:deir \t\r\n\u{feff}").subarray(0, -2))

/** Makes the decoder of a coding once its first bytes are there; undefined for a coding that is not known here. */
function factoryFor(coding: string): ((first: Buffer) => Transform) | undefined {
  if (coding === "gzip" || coding === "x-gzip") return unlessPlain(() => zlib.createGunzip(SYNC))
  if (coding === "deflate")
    return (first) =>
      ((first[0] ?? ZLIB_METHOD) & 0x0f) === ZLIB_METHOD ? zlib.createInflate(SYNC) : zlib.createInflateRaw(SYNC)
  if (coding === "br") return () => zlib.createBrotliDecompress(BROTLI)
  return coding === "zstd" && createZstd !== undefined ? unlessPlain(createZstd) : undefined
}

/** For a coding whose content has a mark of its own at its beginning: an answer without that mark was never coded. */
function unlessPlain(make: () => Transform): (first: Buffer) => Transform {
  return (first) => (PLAIN_FIRST_BYTES.has(first[0] ?? 0) ? new PassThrough() : make())
}

/** The codings of a Content-Encoding value in the order in which they are taken off; [] where nothing is to be. */
export function codingsOf(contentEncoding: string | undefined): string[] {
  const names = (contentEncoding ?? "").split(",").map((name) => name.trim().toLowerCase())
  return names.filter((name) => name !== "" && !NO_CODINGS.has(name)).reverse()
}

/** Decodes a stream. One coding, which is all that is seen in the wild; more are refused. */
export class ContentDecoder {
  #make: (first: Buffer) => Transform
  #maxBytes: number
  #transform: Transform | undefined
  #total = 0
  #error: FlowError | undefined
  #wake: () => void = () => {}

  private constructor(make: (first: Buffer) => Transform, maxBytes: number) {
    this.#make = make
    this.#maxBytes = maxBytes
  }

  /**
   * Undefined: nothing to take off. Throws a FlowError for a coding that cannot be taken off here.
   * `maxBytes`: more than that is an error; for readers who keep what they read, or cannot stop reading.
   */
  static for(contentEncoding: string | undefined, maxBytes = Number.POSITIVE_INFINITY): ContentDecoder | undefined {
    const codings = codingsOf(contentEncoding)
    if (codings.length === 0) return undefined
    const make = codings.length === 1 ? factoryFor(codings[0] ?? "") : undefined
    if (make !== undefined) return new ContentDecoder(make, maxBytes)
    throw new FlowError("upstream", "unknown-encoding", `Content-Encoding ${contentEncoding} cannot be decoded here`)
  }

  /** Everything that `piece` gives, made as it is read. Throws a FlowError, and again on each later call. */
  async *feed(piece: Buffer): AsyncGenerator<Buffer, void> {
    if (piece.length === 0) return
    this.#transform ??= this.#start(piece)
    const transform = this.#transform
    yield* this.#output(transform, (done) => transform.write(piece, done))
  }

  /** The content has ended: throws a FlowError where the coding has not. */
  async *finish(): AsyncGenerator<Buffer, void> {
    const transform = this.#transform
    if (transform === undefined) return
    yield* this.#output(transform, (done) => {
      transform.once("end", done) // "finish" comes before a cut is noticed.
      transform.end()
    })
  }

  close(): void {
    this.#transform?.destroy()
  }

  #start(first: Buffer): Transform {
    const transform = this.#make(first)
    transform.on("readable", () => this.#wake())
    transform.on("error", (cause) => this.#fail(cause))
    transform.on("close", () => this.#wake())
    return transform
  }

  #fail(cause: Error): void {
    const message = `the content could not be decoded: ${cause.message}`
    this.#error ??= new FlowError("upstream", "bad-encoding", message, { cause })
    this.#wake()
  }

  /** What comes out between `begin` and its end. */
  async *#output(transform: Transform, begin: (done: Done) => void): AsyncGenerator<Buffer, void> {
    if (this.#error !== undefined) throw this.#error
    let over = false
    begin((thrown) => {
      over = true
      if (thrown) this.#fail(thrown)
      this.#wake()
    })
    for (;;) {
      const out: unknown = transform.read()
      if (Buffer.isBuffer(out)) {
        this.#count(out.length)
        yield out
      } else if (this.#error !== undefined) throw this.#error
      else if (over || transform.destroyed) return
      else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  #count(bytes: number): void {
    this.#total += bytes
    if (this.#total <= this.#maxBytes) return
    const message = `decoded content exceeds ${this.#maxBytes} bytes`
    this.#error = new FlowError("upstream", "decoded-too-large", message, { status: 413 })
    this.close()
    throw this.#error
  }
}

/**
 * A whole body, decoded. Rejects with a FlowError when a coding is unknown, the bytes are broken or cut, or the result
 * exceeds `maxBytes`.
 */
export async function decodeContent(
  bytes: Buffer,
  contentEncoding: string | undefined,
  maxBytes: number,
): Promise<Buffer> {
  const decoder = ContentDecoder.for(contentEncoding, maxBytes)
  if (decoder === undefined) return bytes
  try {
    const pieces: Buffer[] = []
    for await (const piece of decoder.feed(bytes)) pieces.push(piece)
    for await (const piece of decoder.finish()) pieces.push(piece)
    return Buffer.concat(pieces)
  } finally {
    decoder.close()
  }
}
