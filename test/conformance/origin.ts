/**
 * The origin of the conformance table: one script of an exchange, served over HTTP/1.1 or HTTP/2 by Node's own servers,
 * with and without TLS. What differs between the two protocols (how a stream is cut, how 1xx is sent) ends here.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import {
  constants,
  createServer as createHttp2Server,
  createSecureServer,
  type Http2ServerRequest,
  Http2ServerResponse,
} from "node:http2"
import { createServer as createHttpsServer } from "node:https"
import type { Server, Socket } from "node:net"
import type { Test } from "tap"
import { sharedCertificates } from "../helpers/test-proxy.ts"

export type Protocol = "http/1.1" | "h2"

/** Name and value; a name may come again. */
export type Fields = readonly (readonly [string, string])[]

/** One exchange as the origin sees it. */
export interface OriginCall {
  readonly method: string
  readonly path: string
  /** As they came, in order: HTTP/1.1 and HTTP/2 alike, without pseudo-fields. */
  readonly fields: Fields
  field(name: string): string | undefined
  /** The whole body; rejects when it breaks off. */
  body(): Promise<Buffer>
  /** Pieces of the body as they come. */
  pieces(): AsyncIterable<Buffer>
  /** After the body: the request's trailers. */
  trailers(): Record<string, string | undefined>
  /** The client waits for a 100 before it sends the body. */
  readonly expectsContinue: boolean
  proceed(): void
  inform(status: 102 | 103, fields: Fields): void
  head(status: number, fields: Fields): void
  /** Resolves when there is room for more. */
  write(bytes: Buffer | string): Promise<void>
  /** Bytes that were written and have not been refused room. */
  readonly written: number
  end(trailers?: Fields): void
  /** Breaks off so that the other side can tell it from an end. */
  cut(): void
  /** Resolves when the exchange has ended before `end` was called. */
  readonly gone: Promise<void>
}

export interface Origin {
  readonly port: number
  /** What scripts threw. */
  readonly failures: readonly unknown[]
}

export type Serve = (call: OriginCall) => void | Promise<void>

type Request = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse

/** An origin named `localhost`. `find`: the script for a path. */
export async function startOrigin(
  t: Test,
  protocol: Protocol,
  tls: boolean,
  find: (path: string) => Serve | undefined,
): Promise<Origin> {
  const failures: unknown[] = []
  const serve = (expectsContinue: boolean) => (request: Request, response: Response) => {
    const script = find(request.url ?? "")
    const call = new Call(request, response, expectsContinue)
    if (script === undefined) {
      call.head(500, [["x-origin", "no script"]])
      call.end()
      return
    }
    Promise.resolve(script(call)).catch((thrown: unknown) => {
      failures.push(thrown)
      call.cut()
    })
  }
  const server = await makeServer(protocol, tls)
  server.on("request", serve(false))
  server.on("checkContinue", serve(true))
  const sockets = new Set<Socket>()
  server.on("connection", (socket: Socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
  })
  server.on("sessionError", () => {})
  server.on("tlsClientError", () => {})
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { failures, port: typeof address === "object" ? (address?.port ?? 0) : 0 }
}

async function makeServer(protocol: Protocol, tls: boolean): Promise<Server> {
  const limits = { maxHeaderSize: 131_072 }
  const keys = (await sharedCertificates()).chainFor("localhost")
  if (protocol === "http/1.1") return tls ? createHttpsServer({ ...keys, ...limits }) : createServer(limits)
  const settings = { enableConnectProtocol: true, maxHeaderListSize: limits.maxHeaderSize }
  const options = { settings, maxHeaderListPairs: 400, maxSendHeaderBlockLength: limits.maxHeaderSize }
  return tls ? createSecureServer({ ...keys, ...options }) : createHttp2Server(options)
}

class Call implements OriginCall {
  readonly expectsContinue: boolean
  readonly fields: Fields
  readonly gone: Promise<void>
  written = 0
  #request: Request
  #response: Response
  #ended = false

  constructor(request: Request, response: Response, expectsContinue: boolean) {
    this.#request = request
    this.#response = response
    this.expectsContinue = expectsContinue
    const { rawHeaders } = request
    this.fields = rawHeaders
      .flatMap((name, index) => (index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? ""] as const] : []))
      .filter(([name]) => !name.startsWith(":"))
    request.on("error", () => {})
    response.on("error", () => {})
    if (response instanceof Http2ServerResponse) response.stream.on("error", () => {})
    this.gone = new Promise((resolve) => {
      const onClose = () => {
        if (!this.#ended) resolve()
      }
      response.on("close", onClose)
    })
  }

  get method(): string {
    return this.#request.method ?? ""
  }

  get path(): string {
    return this.#request.url ?? ""
  }

  field(name: string): string | undefined {
    return this.fields.find(([one]) => one.toLowerCase() === name)?.[1]
  }

  async body(): Promise<Buffer> {
    const pieces: Buffer[] = []
    for await (const piece of this.pieces()) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  pieces(): AsyncIterable<Buffer> {
    return this.#request
  }

  trailers(): Record<string, string | undefined> {
    return { ...this.#request.trailers } as Record<string, string | undefined> // trailers are single-valued here
  }

  proceed(): void {
    this.#response.writeContinue()
  }

  inform(status: 102 | 103, fields: Fields): void {
    const headers = Object.fromEntries(fields)
    if (this.#response instanceof Http2ServerResponse)
      this.#response.stream.additionalHeaders({ ":status": status, ...headers })
    else if (status === 102) this.#response.writeProcessing()
    else this.#response.writeEarlyHints(headers)
  }

  head(status: number, fields: Fields): void {
    const grouped: Record<string, string | string[]> = {}
    for (const [name, value] of fields) {
      const present = grouped[name]
      grouped[name] = present === undefined ? value : [present, value].flat()
    }
    this.#response.writeHead(status, grouped)
    if (this.#response instanceof Http2ServerResponse) return
    this.#response.flushHeaders()
  }

  async write(bytes: Buffer | string): Promise<void> {
    const buffer = Buffer.from(bytes)
    const room =
      this.#response instanceof Http2ServerResponse ? this.#response.write(buffer) : this.#response.write(buffer)
    this.written += buffer.length
    if (room) return
    await Promise.race([new Promise<void>((resolve) => this.#response.once("drain", resolve)), this.gone])
  }

  end(trailers?: Fields): void {
    this.#ended = true
    if (trailers !== undefined) this.#response.addTrailers(Object.fromEntries(trailers))
    this.#response.end()
  }

  cut(): void {
    this.#ended = true
    if (this.#response instanceof Http2ServerResponse) this.#response.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    else this.#response.socket?.destroy()
  }
}
