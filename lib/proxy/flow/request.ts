/**
 * The request of a flow: head fields that addons may change, and a body that streams on unless somebody asks for it.
 */

import type { FlowRequest, JsonValue, Pairs } from "../../api/flow.ts"
import { FlowError } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import { PairList } from "../../base/pairs.ts"
import { BodyCollector } from "../body/body-collector.ts"
import { decodeContent } from "../body/content-coding.ts"
import { readForm, writeForm } from "../body/form.ts"
import type { MemoryShare } from "../body/memory.ts"
import { defaultPort, formatAuthority, normalHost } from "../io/authority.ts"
import { BufferBody } from "../io/body-queue.ts"
import type { Body, ClientStream } from "../streams.ts"

/** Fields that say something of the body's exact bytes, and are wrong once it changes. */
const BODY_FIELDS = [
  "content-encoding",
  "content-length",
  "content-md5",
  "content-digest",
  "digest",
  "etag",
  "repr-digest",
]

export function dropBodyFields(headers: Headers): void {
  for (const name of BODY_FIELDS) headers.delete(name)
}

/** What an addon set as bytes; a view, no copy. Throws a TypeError for what is none. */
export function asBuffer(value: unknown, place: string): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  throw new TypeError(`${place} takes a Buffer or a Uint8Array; for a string there is text`)
}

const TOO_LATE =
  "the request's body is on its way to the upstream: await flow.request.collect() in requestHeaders or request"

export class FlowRequestState implements FlowRequest {
  method: string
  scheme: "http" | "https"
  host: string
  port: number
  path: string
  readonly version: string
  readonly headers: Headers
  /** True once an addon has replaced the body. */
  edited = false
  /** Why the collected body could not be decoded. */
  decodeError: FlowError | undefined
  #client: ClientStream
  #memory: MemoryShare
  #limit: number
  #body: BodyCollector | undefined
  #collected: Buffer | undefined
  #decoded: Buffer | undefined
  #query: PairList | undefined
  #cookies: PairList | undefined
  #collecting: Promise<void> | undefined
  /** Whoever sends the request reads the body now. */
  #isGivenAway = false

  constructor(client: ClientStream, memory: MemoryShare, bodyLimit: number) {
    const { method, scheme, host, port, path, version, headers } = client.head
    this.method = method
    this.scheme = scheme
    this.host = host
    this.port = port
    this.path = path
    this.version = version
    this.headers = headers
    this.#client = client
    this.#memory = memory
    this.#limit = bodyLimit
  }

  get url(): string {
    return urlOf(this)
  }

  set url(value: string) {
    const url = new URL(value)
    const scheme = url.protocol.slice(0, -1)
    const host = normalHost(url.hostname.replace(/^\[|\]$/g, ""))
    if ((scheme !== "http" && scheme !== "https") || host === undefined)
      throw new TypeError(`request.url: ${value} is no http or https URL`)
    this.scheme = scheme
    this.host = host
    this.port = Number(url.port || defaultPort(scheme))
    this.path = `${url.pathname}${url.search}`
    if (this.headers.has("host")) this.headers.set("Host", formatAuthority(host, this.port, scheme))
  }

  get collected(): boolean {
    return this.#collected !== undefined
  }

  /** Whether `bytes`, `text` and `json()` can be read. */
  get readable(): boolean {
    return this.#decoded !== undefined
  }

  get bytes(): Buffer {
    if (this.decodeError !== undefined) throw this.decodeError
    if (this.#decoded === undefined)
      throw new Error("request body not collected: await flow.request.collect() in requestHeaders or request first")
    return this.#decoded
  }

  set bytes(value: Uint8Array) {
    this.replace(asBuffer(value, "request.bytes"))
  }

  get text(): string {
    return this.bytes.toString("utf8")
  }

  set text(value: string) {
    this.replace(Buffer.from(value, "utf8"))
  }

  json(): JsonValue {
    return JSON.parse(this.text.replace(/^\uFEFF/, "")) as JsonValue
  }

  async formData(): Promise<FormData> {
    const { bytes } = this
    if (!this.#memory.take(bytes.length)) throw this.#tooLarge()
    return readForm(bytes, this.headers.get("content-type"))
  }

  async setFormData(form: FormData): Promise<void> {
    const [bytes, contentType] = await writeForm(form, this.headers.get("content-type"))
    this.replace(bytes)
    this.headers.set("Content-Type", contentType)
  }

  get query(): Pairs {
    this.#query ??= PairList.query({
      read: () => splitPath(this.path).query ?? "",
      write: (text) => {
        const { path } = splitPath(this.path)
        this.path = text === "" ? path : `${path}?${text}`
      },
    })
    return this.#query
  }

  get cookies(): Pairs {
    this.#cookies ??= PairList.cookies({
      read: () => this.headers.getAll("cookie").join("; "),
      write: (text) => {
        if (text === "") this.headers.delete("cookie")
        else this.headers.set("Cookie", text.trimStart())
      },
    })
    return this.#cookies
  }

  /** Puts another body in place of the present one. */
  replace(bytes: Buffer): void {
    if (this.#collected === undefined) void this.bytes // Throws: what is streaming on cannot be replaced.
    this.#collected = bytes
    this.#decoded = bytes
    this.decodeError = undefined
    this.edited = true
    dropBodyFields(this.headers)
  }

  collect(): Promise<void> {
    if (this.#collecting === undefined && this.#isGivenAway) return Promise.reject(new Error(TOO_LATE))
    this.#collecting ??= this.#collect()
    return this.#collecting
  }

  /** The body as it goes to the upstream: collected, or the rest of what streams. Called once. */
  giveAway(): Body {
    this.#isGivenAway = true
    if (this.#collected !== undefined) {
      const whole = new BufferBody(this.#collected)
      // What came in chunks leaves in chunks, trailers behind them, unless an addon has put another body in its place.
      const inChunks = !this.edited && this.#client.body.length === undefined
      return inChunks ? { length: undefined, read: () => whole.read() } : whole
    }
    return this.#body?.rest() ?? this.#client.body
  }

  async #collect(): Promise<void> {
    // Not even begun where its length says that it will not fit.
    if ((this.#client.body.length ?? 0) > this.#limit) throw this.#tooLarge()
    if (this.#client.expectsContinue) {
      this.#client.inform({ status: 100, reason: "Continue", headers: new Headers() })
      this.headers.delete("expect")
    }
    const limits = { bytes: this.#limit, memory: this.#memory, tooLarge: () => this.#tooLarge() }
    this.#body = new BodyCollector(this.#client.body, limits)
    const whole = await this.#body.collect()
    this.#collected = whole
    await this.#decode(whole)
  }

  async #decode(whole: Buffer): Promise<void> {
    try {
      const decoded = await decodeContent(whole, this.headers.get("content-encoding"), this.#limit)
      if (decoded !== whole && !this.#memory.take(decoded.length)) throw this.#tooLarge()
      this.#decoded = decoded
    } catch (thrown) {
      if (!(thrown instanceof FlowError)) throw thrown
      // It is the client that sent it.
      const status = thrown.status === 413 ? 413 : 400
      this.decodeError = new FlowError("client", thrown.code, thrown.message, { status, cause: thrown })
    }
  }

  #tooLarge(): FlowError {
    const message = `the request body exceeds bodyLimit (${this.#limit} bytes) or the memory limit; it is streamed on unread`
    return new FlowError("client", "body-too-large", message, { status: 413 })
  }
}

/** The request as it came: addons change the other one, and what they get of this is a copy. */
export class OriginalRequest {
  readonly method: string
  readonly scheme: "http" | "https"
  readonly host: string
  readonly port: number
  readonly path: string
  readonly #came: Headers
  /** A copy is made when it is first read. */
  #copied: Headers | undefined

  constructor(request: FlowRequestState | OriginalRequest) {
    const { method, scheme, host, port, path } = request
    this.method = method
    this.scheme = scheme
    this.host = host
    this.port = port
    this.path = path
    if (request instanceof OriginalRequest) {
      this.#came = request.#came
      return
    }
    this.#came = request.headers.clone()
    this.#copied = this.#came
    request.headers.watch() // What an addon sets is the addon's, even where the client had the same.
  }

  get headers(): Headers {
    this.#copied ??= this.#came.clone()
    return this.#copied
  }

  get url(): string {
    return urlOf(this)
  }
}

function splitPath(path: string): { path: string; query: string | undefined } {
  const mark = path.indexOf("?")
  return mark < 0 ? { path, query: undefined } : { path: path.slice(0, mark), query: path.slice(mark + 1) }
}

function urlOf(request: { scheme: "http" | "https"; host: string; port: number; path: string }): string {
  const { scheme, host, port, path } = request
  return `${scheme}://${formatAuthority(host, port, scheme)}${path === "*" ? "" : path}`
}
