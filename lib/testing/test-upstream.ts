/**
 * Every host there is, in a test: one port that the program's connections lead to, in clear or in TLS, and that says
 * whatever the test tells it to. The certificates are a CA's that is made for the process, and that the program is told.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { createServer, type Server as NetServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createServer as createTlsServer, TLSSocket, type Server as TlsServer } from "node:tls"
import { type Clock, systemClock } from "../base/clock.ts"
import { Headers } from "../base/headers.ts"
import type { JsonValue } from "../base/json.ts"
import type { LlmRequest } from "../llm/model.ts"
import { dialectFor, readLlmRequest } from "../proxy/body/observe.ts"
import { drained } from "./drained.ts"
import { type TestAnswer, writtenAnswer } from "./test-answer.ts"
import { acceptWebSocket, type TestWebSocket } from "./test-websocket.ts"

/** A request as it reached the upstream, whole. */
export interface AskedRequest {
  readonly method: string
  /** Absolute, by its Host and by whether it came in TLS. */
  readonly url: string
  readonly headers: Headers
  readonly bytes: Buffer
  readonly text: string
  /** Throws a SyntaxError where the body is no JSON. */
  json(): JsonValue
  /** What it asks a model; undefined where it speaks no dialect. */
  readonly llm: LlmRequest | undefined
}

/** A text is what the model says; a function is asked at each request; `websocket` talks to whoever has upgraded. */
export type TestUpstreamAnswer =
  | string
  | TestAnswer
  | ((asked: AskedRequest) => string | TestAnswer | Promise<string | TestAnswer>)

/** The first byte of a TLS handshake. */
const TLS_HANDSHAKE = 0x16

export class TestUpstream {
  readonly asked: AskedRequest[] = []
  /** One each, in order; the last one from then on. */
  answers: readonly TestUpstreamAnswer[] = ["Hello."]
  websocket: (socket: TestWebSocket, asked: AskedRequest) => void | Promise<void> = () => {}
  /** What a script of the test has thrown. */
  readonly failures: unknown[] = []
  readonly #clock: Clock
  readonly #sockets = new Set<Socket>()
  /** Connections that have carried a request. */
  readonly #used = new WeakSet<Socket>()
  readonly #http: Server
  readonly #tls: TlsServer
  readonly #net: NetServer

  private constructor(clock: Clock, contextFor: Awaited<ReturnType<typeof authority>>["contextFor"]) {
    this.#clock = clock
    this.#http = createHttpServer({ keepAliveTimeout: 0 }, (request, response) => void this.#serve(request, response))
    this.#http.on("upgrade", (request, socket, head) => {
      if (head.length > 0) socket.unshift(head)
      // What node:http hands over is the socket that it was given.
      void this.#upgrade(request, socket as Socket)
    })
    this.#tls = createTlsServer({
      SNICallback: (name, done) => done(null, contextFor(name)),
      secureContext: contextFor("localhost"),
    })
    this.#tls.on("secureConnection", (socket) => this.#http.emit("connection", socket))
    this.#tls.on("tlsClientError", () => {}) // The program tells of it.
    this.#net = createServer((socket) => this.#accept(socket))
  }

  static async start(clock: Clock): Promise<TestUpstream> {
    const upstream = new TestUpstream(clock, (await authority()).contextFor)
    await new Promise<void>((resolve) => upstream.#net.listen(0, "127.0.0.1", resolve))
    return upstream
  }

  get port(): number {
    const address = this.#net.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#net.close(resolve))
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once("close", () => this.#sockets.delete(socket))
    socket.on("error", () => {}) // Cuts are part of what is tested; `close` follows.
    socket.once("data", (bytes: Buffer) => {
      socket.pause()
      socket.unshift(bytes)
      if (bytes[0] === TLS_HANDSHAKE) return void this.#tls.emit("connection", socket) // takes what is unread itself
      this.#http.emit("connection", socket)
      socket.resume()
    })
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const wasUsed = this.#used.has(request.socket)
      this.#used.add(request.socket)
      const asked = await this.#read(request)
      const { answers } = this
      if (await this.#write(await this.#answerTo(asked), asked, response)) return
      response.destroy()
      if (!wasUsed) return
      // Cut on a connection that was used before, the program asks again on another: it is still the same request.
      this.answers = answers
      this.asked.splice(this.asked.indexOf(asked), 1)
    } catch (thrown) {
      if (!request.destroyed || !(thrown instanceof Error && thrown.message === "aborted")) this.failures.push(thrown)
      response.destroy()
    }
  }

  async #read(request: IncomingMessage): Promise<AskedRequest> {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const asked = askedFrom(request, Buffer.concat(pieces))
    this.asked.push(asked)
    return asked
  }

  async #answerTo(asked: AskedRequest): Promise<TestAnswer> {
    const [first = "", ...others] = this.answers
    if (others.length > 0) this.answers = others
    const answer = typeof first === "function" ? await first(asked) : first
    return typeof answer === "string" ? { completion: { text: answer } } : answer
  }

  /** False: there is nothing to write, not even a head. */
  async #write(answer: TestAnswer, asked: AskedRequest, response: ServerResponse): Promise<boolean> {
    for (const { status, headers } of answer.interim ?? []) {
      const lines = [...new Headers(headers)].map(([name, value]) => `${name}: ${value}\r\n`)
      response.socket?.write(`HTTP/1.1 ${status} Interim\r\n${lines.join("")}\r\n`)
    }
    const written = writtenAnswer(answer, {
      dialect: dialectFor(asked.method, pathOf(asked)),
      request: asked.llm,
      created: Math.floor(this.#clock.now() / 1000),
      number: this.asked.indexOf(asked) + 1,
    })
    if (written === undefined) return false
    response.writeHead(written.status, [...written.headers].flat())
    response.flushHeaders()
    for await (const piece of written.pieces) {
      if (response.destroyed) return true
      if (!response.write(piece)) await drained(response)
    }
    if (answer.cut !== true) response.end()
    else response.socket?.destroySoon()
    return true
  }

  async #upgrade(request: IncomingMessage, socket: Socket): Promise<void> {
    const asked = askedFrom(request, Buffer.alloc(0))
    this.asked.push(asked)
    try {
      await this.websocket(acceptWebSocket(socket, asked.headers), asked)
    } catch (thrown) {
      this.failures.push(thrown)
      socket.destroy()
    }
  }
}

function askedFrom(request: IncomingMessage, bytes: Buffer): AskedRequest {
  const headers = new Headers()
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2)
    headers.append(request.rawHeaders[at] ?? "", request.rawHeaders[at + 1] ?? "")
  const { method = "GET", url: path = "/" } = request
  const dialect = dialectFor(method, path)
  const llm = dialect === undefined ? undefined : readLlmRequest(dialect, bytes, path)
  const text = bytes.toString("utf8")
  return {
    method,
    url: `${request.socket instanceof TLSSocket ? "https" : "http"}://${headers.get("host") ?? ""}${path}`,
    headers,
    bytes,
    text,
    json: () => JSON.parse(text),
    llm: typeof llm === "string" ? undefined : llm?.request,
  }
}

function pathOf({ url }: AskedRequest): string {
  const { pathname, search } = new URL(url)
  return pathname + search
}

let made: ReturnType<typeof makeAuthority> | undefined

/** The CA of all that is no llmproxy, one a process; its certificate in PEM. */
export function authority(): ReturnType<typeof makeAuthority> {
  made ??= makeAuthority()
  return made
}

async function makeAuthority() {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-testing-ca-"))
  try {
    const [{ loadOrCreateCa }, { LeafFactory }] = await Promise.all([
      import("../../certs/ca.ts"),
      import("../../certs/leaf.ts"),
    ])
    // By the machine's clock: who verifies it is OpenSSL, which knows no other.
    const clock = () => systemClock.now()
    const ca = await loadOrCreateCa(folder, { clock })
    const leaves = new LeafFactory(ca, { clock })
    return { certPem: ca.certPem, contextFor: (name: string) => leaves.contextFor(name) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
