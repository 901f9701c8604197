/**
 * The client of the conformance table: one call over HTTP/1.1 or HTTP/2 through any way to the origin, with Node's own
 * clients on sockets that the way has opened. An HTTP/2 client has one connection for all of its calls.
 */
import { type ClientRequest, type IncomingMessage, request as requestHttp1 } from "node:http"
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  type IncomingHttpHeaders,
} from "node:http2"
import type { Duplex, Readable } from "node:stream"
import { connect as connectTls } from "node:tls"
import { drained } from "../../lib/testing/drained.ts"
import type { Fields, Protocol } from "./origin.ts"

interface Ask {
  readonly method?: string
  readonly path: string
  readonly fields?: Fields
  /** No body will be written: the head is all there is. Default: true for GET, HEAD, OPTIONS. */
  readonly bodiless?: boolean
}

interface Head {
  readonly status: number
  /** As they came, lower-case names, without pseudo-fields. */
  readonly fields: Fields
  field(name: string): string | undefined
  all(name: string): string[]
}

interface Ended {
  readonly body: Buffer
  /** False: the answer broke off. */
  readonly clean: boolean
  readonly trailers: Record<string, string>
}

/** One call in flight. */
export interface ClientCall {
  /** Rejects when the connection ends before the head. */
  head(): Promise<Head>
  readonly informs: Head[]
  /** Resolves when a 100 came. */
  readonly continued: Promise<void>
  /** Resolves when there is room for more. */
  write(bytes: Buffer | string): Promise<void>
  end(trailers?: Fields): void
  /** The next piece of the answer; undefined at its end, however it ends. */
  next(): Promise<Buffer | undefined>
  /** Reads the rest. */
  ended(): Promise<Ended>
  abort(): void
}

export interface Client {
  call(ask: Ask): Promise<ClientCall>
  close(): void
}

/** How a client comes to the origin: a socket, and what the request-target looks like there. */
export interface Way {
  /** Opens a socket on which the client can begin (TLS, if `tls`). */
  open(): Promise<Duplex>
  /** The origin's authority, as the client knows it. */
  readonly authority: string
  readonly tls: { readonly ca: string; readonly name: string } | undefined
  /** HTTP/1.1 request-target for a path. */
  target(path: string): string
}

export async function makeClient(protocol: Protocol, way: Way): Promise<Client> {
  return protocol === "h2" ? Http2Caller.connect(way) : new Http1Caller(way)
}

async function openSocket(way: Way, alpn: string): Promise<Duplex> {
  const socket = await way.open()
  if (way.tls === undefined) return socket
  const { ca, name } = way.tls
  const tls = connectTls({ socket, ca, servername: name, ALPNProtocols: [alpn] })
  await new Promise<void>((resolve, reject) => {
    tls.once("secureConnect", resolve)
    tls.once("error", reject)
  })
  tls.on("error", () => {})
  if (tls.alpnProtocol !== alpn) throw new Error(`the handshake settled on ${tls.alpnProtocol}, not ${alpn}`)
  return tls
}

function headOf(status: number, raw: readonly string[]): Head {
  const fields = raw
    .flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), raw[index + 1] ?? ""] as const] : []))
    .filter(([name]) => !name.startsWith(":"))
  return {
    status,
    fields,
    field: (name) => fields.find(([one]) => one === name)?.[1],
    all: (name) => fields.filter(([one]) => one === name).map(([, value]) => value),
  }
}

const BODILESS = new Set(["GET", "HEAD", "OPTIONS"])

class Http1Caller implements Client {
  #way: Way
  #sockets: Duplex[] = []

  constructor(way: Way) {
    this.#way = way
  }

  async call({ method = "GET", path, fields = [], bodiless = BODILESS.has(method) }: Ask): Promise<ClientCall> {
    const socket = await openSocket(this.#way, "http/1.1")
    this.#sockets.push(socket)
    socket.on("error", () => {})
    const headers: Record<string, string | string[]> = { Host: this.#way.authority }
    for (const [name, value] of fields) {
      const present = headers[name]
      headers[name] = present === undefined ? value : [present, value].flat()
    }
    const request = requestHttp1({
      createConnection: () => socket,
      method,
      path: this.#way.target(path),
      headers,
      maxHeaderSize: 131_072,
    })
    const call = new Http1Call(request)
    if (bodiless) request.end()
    else request.flushHeaders()
    return call
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

class Http1Call implements ClientCall {
  readonly informs: Head[] = []
  readonly continued: Promise<void>
  #request: ClientRequest
  #head: Promise<{ head: Head; response: IncomingMessage }>

  constructor(request: ClientRequest) {
    this.#request = request
    request.on("information", ({ statusCode, rawHeaders }) => this.informs.push(headOf(statusCode, rawHeaders)))
    this.continued = new Promise((resolve) => request.once("continue", resolve))
    this.#head = new Promise((resolve, reject) => {
      request.once("response", (response) => {
        response.on("error", () => {})
        response.pause()
        resolve({ head: headOf(response.statusCode ?? 0, response.rawHeaders), response })
      })
      request.on("error", reject)
      request.once("close", () => reject(new Error("closed before a head came")))
    })
    this.#head.catch(() => {})
  }

  async head(): Promise<Head> {
    return (await this.#head).head
  }

  async write(bytes: Buffer | string): Promise<void> {
    if (this.#request.write(bytes)) return
    await drained(this.#request)
  }

  end(trailers?: Fields): void {
    if (trailers !== undefined) this.#request.addTrailers(Object.fromEntries(trailers))
    this.#request.end()
  }

  async next(): Promise<Buffer | undefined> {
    return nextPiece((await this.#head).response)
  }

  async ended(): Promise<Ended> {
    const { response } = await this.#head
    const body = await rest(response)
    return { body, clean: response.complete, trailers: onlyText(response.trailers) }
  }

  abort(): void {
    this.#request.destroy()
  }
}

class Http2Caller implements Client {
  #session: ClientHttp2Session
  #way: Way

  private constructor(session: ClientHttp2Session, way: Way) {
    this.#session = session
    this.#way = way
  }

  static async connect(way: Way): Promise<Http2Caller> {
    const socket = await openSocket(way, "h2")
    const scheme = way.tls === undefined ? "http" : "https"
    const session = connectHttp2(`${scheme}://${way.authority}`, {
      createConnection: () => socket,
      settings: { maxHeaderListSize: 131_072 },
      maxHeaderListPairs: 400,
      maxSendHeaderBlockLength: 131_072,
    })
    session.on("error", () => {})
    return new Http2Caller(session, way)
  }

  async call({ method = "GET", path, fields = [], bodiless = BODILESS.has(method) }: Ask): Promise<ClientCall> {
    const headers: Record<string, string | string[]> = {
      ":method": method,
      ":path": path,
      ":authority": this.#way.authority,
      ":scheme": this.#way.tls === undefined ? "http" : "https",
    }
    for (const [name, value] of fields) {
      const lower = name.toLowerCase()
      if (lower === "transfer-encoding") continue // HTTP/2 has frames.
      const present = headers[lower]
      headers[lower] = present === undefined ? value : [present, value].flat()
    }
    return new Http2Call(this.#session.request(headers, { endStream: bodiless, waitForTrailers: !bodiless }))
  }

  close(): void {
    this.#session.destroy()
  }
}

type Status = IncomingHttpHeaders & { ":status"?: number }

class Http2Call implements ClientCall {
  readonly informs: Head[] = []
  readonly continued: Promise<void>
  #stream: ClientHttp2Stream
  #head: Promise<Head>
  #trailers: Record<string, string> = {}
  #ownTrailers: Fields = []
  #ended = false
  #aborted = false

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream
    stream.on("error", () => {})
    stream.on("headers", (headers: Status, _flags: number, raw: string[]) => {
      if (headers[":status"] !== 100) this.informs.push(headOf(Number(headers[":status"]), raw))
    })
    stream.on("trailers", (headers) => {
      this.#trailers = onlyText(headers)
    })
    stream.on("wantTrailers", () => {
      // Node asks on a close as well: what is aborted has no end.
      if (!this.#aborted) stream.sendTrailers(Object.fromEntries(this.#ownTrailers))
    })
    stream.on("end", () => {
      this.#ended = true
    })
    this.continued = new Promise((resolve) => stream.once("continue", resolve))
    this.#head = new Promise((resolve, reject) => {
      stream.once("response", (headers: Status, _flags: number, raw: string[]) =>
        resolve(headOf(Number(headers[":status"]), raw)),
      )
      stream.once("close", () => reject(new Error("closed before a head came")))
    })
    this.#head.catch(() => {})
  }

  head(): Promise<Head> {
    return this.#head
  }

  async write(bytes: Buffer | string): Promise<void> {
    if (this.#stream.write(bytes)) return
    await drained(this.#stream)
  }

  end(trailers: Fields = []): void {
    this.#ownTrailers = trailers
    this.#stream.end()
  }

  next(): Promise<Buffer | undefined> {
    return nextPiece(this.#stream)
  }

  async ended(): Promise<Ended> {
    await this.#head
    const body = await rest(this.#stream)
    if (!this.#stream.closed) await new Promise((resolve) => this.#stream.once("close", resolve))
    const clean = this.#ended && this.#stream.rstCode === constants.NGHTTP2_NO_ERROR
    return { body, clean, trailers: this.#trailers }
  }

  abort(): void {
    this.#aborted = true
    this.#stream.close(constants.NGHTTP2_CANCEL)
  }
}

function onlyText(record: NodeJS.Dict<string | string[]>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(record).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
  )
}

/** The next piece of a paused stream; undefined when there is none to come. */
function nextPiece(stream: Readable): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const stop = (piece: Buffer | undefined) => {
      stream.off("readable", look)
      stream.off("end", over)
      stream.off("close", over)
      resolve(piece)
    }
    const over = () => stop(undefined)
    const look = () => {
      const piece: unknown = stream.read()
      if (Buffer.isBuffer(piece)) stop(piece)
      else if (stream.readableEnded || stream.destroyed) over()
    }
    stream.on("readable", look)
    stream.once("end", over)
    stream.once("close", over)
    look()
  })
}

async function rest(stream: Readable): Promise<Buffer> {
  const pieces: Buffer[] = []
  for (let piece = await nextPiece(stream); piece !== undefined; piece = await nextPiece(stream)) pieces.push(piece)
  return Buffer.concat(pieces)
}
