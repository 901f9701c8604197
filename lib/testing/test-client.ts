/**
 * A client of the program in a test: each request on a connection of its own, through the proxy as programs are that know
 * of one (CONNECT and TLS for https, absolute-form for http), or to the proxy's own address. It waits until its flow has
 * run its last hook, so that a test can look at what a hook did.
 */
import { once } from "node:events"
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http"
import { connect, type Socket } from "node:net"
import { connect as tlsConnect } from "node:tls"
import { messageOf } from "../base/errors.ts"
import { Headers, type HeadersInit } from "../base/headers.ts"
import type { JsonValue } from "../base/json.ts"
import type { StreamEvent } from "../llm/dialect.ts"
import type { Completion, Delta, LlmError } from "../llm/model.ts"
import {
  Assembler,
  type Dialect,
  decoderFor,
  dialectFor,
  framingIn,
  isConclusion,
  readAnswer,
  readError,
  streamFraming,
} from "../proxy/body/observe.ts"
import { acceptKey, type TestWebSocket, type WebSocketClosed, WebSocketEnd } from "./test-websocket.ts"

export interface TestRequest {
  /** Absolute; or a path at the proxy's own address: what addons serve, and the base URL's. Default: OpenAI's chat. */
  readonly url?: string
  /** Default: POST with a body, else GET. */
  readonly method?: string
  readonly headers?: HeadersInit
  /** At most one of the three. */
  readonly json?: JsonValue
  readonly text?: string
  readonly bytes?: Uint8Array
  /** Once aborted, the client leaves: the flow ends with the hook `error`. */
  readonly signal?: AbortSignal
  /** Is called with each piece of the body as it comes, so that a client can leave in the middle. */
  onPiece?(piece: Buffer): void
}

/** What the client got. */
export interface TestResponse {
  /** 0 where no head came. */
  readonly status: number
  readonly headers: Headers
  /** Interim answers before it. */
  readonly interim: readonly { readonly status: number; readonly headers: Headers }[]
  readonly bytes: Buffer
  readonly text: string
  /** Throws a SyntaxError where the body is no JSON. */
  json(): JsonValue
  /** What a client of the request's dialect reads in it; undefined where there is no answer of one. */
  readonly completion: Completion | undefined
  /** The same in pieces; none where it is no stream. */
  readonly deltas: readonly Delta[]
  /** The error that it reads in it. */
  readonly error: LlmError | undefined
  /** Why it did not come whole: cut, or left by the client. Undefined: it did. */
  readonly broken: string | undefined
}

export interface TestClientOptions {
  readonly port: number
  /** Resolves when the client connection from that port is closed and its flows have run their last hooks. */
  gone(port: number): Promise<void>
}

interface Sent {
  readonly request: ClientRequest
  readonly socket: Socket
  /** Resolves when its flow is over. */
  readonly gone: Promise<void>
}

const OPENAI_CHAT = "https://api.openai.com/v1/chat/completions"

export class TestClient {
  readonly #options: TestClientOptions
  readonly #sockets = new Set<Socket>()

  constructor(options: TestClientOptions) {
    this.#options = options
  }

  /** Resolves whatever came. Rejects where the program does not take the request's way: a CONNECT that is refused. */
  async request(asked: TestRequest): Promise<TestResponse> {
    const { json, text, bytes, signal, url = OPENAI_CHAT } = asked
    const body = json === undefined ? Buffer.from(bytes ?? text ?? "") : Buffer.from(JSON.stringify(json))
    const headers = new Headers(asked.headers)
    if (json !== undefined && !headers.has("content-type")) headers.set("Content-Type", "application/json")
    const method = asked.method ?? (body.length > 0 ? "POST" : "GET")
    if (body.length > 0 || method === "POST") headers.set("Content-Length", String(body.length))
    const { request, socket, gone } = await this.#send(url, method, headers)
    const leave = () => socket.destroy()
    signal?.addEventListener("abort", leave)
    if (signal?.aborted === true) leave()
    const got = await received(request, body, (piece) => asked.onPiece?.(piece))
    signal?.removeEventListener("abort", leave)
    socket.destroySoon()
    await gone
    return responseFrom(got, method, url)
  }

  /** Rejects with an Error where the upgrade is refused, once its flow is over; its message has the status and what was said. */
  async websocket(url: string, fields: HeadersInit): Promise<TestWebSocket> {
    const headers = new Headers(fields)
    const key = Buffer.from("llmproxy testing").toString("base64")
    for (const [name, value] of Object.entries({
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": key,
    }))
      headers.set(name, value)
    const { request, socket, gone } = await this.#send(url.replace(/^ws/, "http"), "GET", headers)
    const upgraded = new Promise<{ response: IncomingMessage; head: Buffer } | undefined>((resolve) =>
      request.once("upgrade", (response, _socket, head) => resolve({ response, head })),
    )
    const got = await Promise.race([upgraded, received(request, Buffer.alloc(0), () => {})])
    if (got === undefined || !("head" in got)) {
      socket.destroySoon()
      await gone
      const { status = 0, pieces = [], broken = "" } = got ?? {}
      throw new Error(`websocket ${url}: no upgrade: ${status} ${Buffer.concat(pieces).toString("utf8")}${broken}`)
    }
    if (got.response.headers["sec-websocket-accept"] !== acceptKey(key))
      throw new Error(`websocket ${url}: the answer's Sec-WebSocket-Accept is wrong`)
    if (got.head.length > 0) socket.unshift(got.head)
    return new ClientWebSocket(socket, gone)
  }

  /** Breaks off what is still open. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async #send(url: string, method: string, headers: Headers): Promise<Sent> {
    const { port } = this.#options
    const plain = connect({ port, host: "127.0.0.1" })
    await once(plain, "connect")
    this.#sockets.add(plain)
    plain.once("close", () => this.#sockets.delete(plain))
    const gone = this.#options.gone(plain.localPort ?? 0)
    const target = url.startsWith("/") ? undefined : new URL(url)
    const socket = target?.protocol === "https:" ? await throughTunnel(plain, target) : plain
    const path = target === undefined ? url : `${target.pathname}${target.search}`
    if (!headers.has("host")) headers.set("Host", target?.host ?? `127.0.0.1:${port}`)
    const request = httpRequest({
      createConnection: () => socket,
      method,
      path: target?.protocol === "http:" ? `${target.origin}${path}` : path,
      headers: grouped(headers),
    })
    return { request, socket, gone }
  }
}

class ClientWebSocket extends WebSocketEnd {
  readonly #gone: Promise<void>

  constructor(socket: Socket, gone: Promise<void>) {
    super(socket, "client")
    this.#gone = gone
  }

  override async close(code?: number, reason?: string): Promise<WebSocketClosed> {
    const closed = await super.close(code, reason)
    await this.#gone
    return closed
  }
}

/** As node:http takes them, in one object. */
function grouped(headers: Headers): Record<string, string | string[]> {
  const fields: Record<string, string[]> = {}
  for (const [name] of headers) fields[name] ??= headers.getAll(name)
  return Object.fromEntries(
    Object.entries(fields).map(([name, [first = "", ...more]]) => [name, more.length > 0 ? [first, ...more] : first]),
  )
}

/** Through CONNECT, and TLS in it. Rejects where either is refused. */
async function throughTunnel(plain: Socket, { hostname, port }: URL): Promise<Socket> {
  const authority = `${hostname}:${port || 443}`
  const connecting = httpRequest({ createConnection: () => plain, method: "CONNECT", path: authority })
  // node:http calls every answer to CONNECT one that connects, whatever its status.
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    connecting.once("connect", resolve)
    connecting.once("error", reject)
  })
  connecting.end()
  const { statusCode, statusMessage } = await answered
  if (statusCode !== 200) throw new Error(`CONNECT ${authority}: ${statusCode} ${statusMessage}`)
  // What it verifies is the program under test, on this machine, and by a clock that may stand anywhere.
  const servername = /^[\d.]+$|^\[/.test(hostname) ? "" : hostname
  const secure = tlsConnect({ socket: plain, servername, rejectUnauthorized: false })
  await once(secure, "secureConnect")
  return secure
}

interface Received {
  status: number
  headers: Headers
  readonly interim: { readonly status: number; readonly headers: Headers }[]
  readonly pieces: Buffer[]
  broken: string | undefined
}

/** Sends the body, and reads the answer to its end, whichever that is. */
async function received(request: ClientRequest, body: Buffer, onPiece: (piece: Buffer) => void): Promise<Received> {
  const got: Received = { status: 0, headers: new Headers(), interim: [], pieces: [], broken: undefined }
  request.on("information", ({ statusCode, rawHeaders }) =>
    got.interim.push({ status: statusCode, headers: headersFrom(rawHeaders) }),
  )
  let failure: Error | undefined
  // A reset behind the head: a body that only the close ends would look whole.
  request.on("error", (error) => {
    failure = error
  })
  const answered = once(request, "response")
  request.end(body)
  try {
    const [response]: IncomingMessage[] = await answered
    if (response === undefined) return got
    got.status = response.statusCode ?? 0
    got.headers = headersFrom(response.rawHeaders)
    for await (const piece of response) {
      got.pieces.push(piece)
      onPiece(piece)
    }
    if (failure !== undefined) throw failure
  } catch (thrown) {
    got.broken = messageOf(thrown)
  }
  return got
}

function headersFrom(raw: readonly string[]): Headers {
  const headers = new Headers()
  for (let at = 0; at + 1 < raw.length; at += 2) headers.append(raw[at] ?? "", raw[at + 1] ?? "")
  return headers
}

type Meaning = Pick<TestResponse, "completion" | "deltas" | "error">

const NOTHING: Meaning = { completion: undefined, deltas: [], error: undefined }

function responseFrom(
  { status, headers, interim, pieces, broken }: Received,
  method: string,
  url: string,
): TestResponse {
  const bytes = Buffer.concat(pieces)
  const text = bytes.toString("utf8")
  const { pathname, search } = new URL(url, "http://own")
  const dialect = dialectFor(method, pathname + search)
  const meaning = dialect === undefined ? NOTHING : meaningOf(dialect, status, headers, bytes, broken !== undefined)
  return { status, headers, interim, bytes, text, json: () => JSON.parse(text), broken, ...meaning }
}

function meaningOf(dialect: Dialect, status: number, headers: Headers, bytes: Buffer, isBroken: boolean): Meaning {
  if (status === 0) return NOTHING
  if (status >= 400) return { ...NOTHING, error: readError(dialect, status, bytes) }
  const framing = streamFraming(framingIn(bytes), headers.get("content-type"))
  if (framing === undefined) return { ...NOTHING, ...readAnswer(dialect, bytes) }
  const decoder = decoderFor(dialect, framing)
  const events: StreamEvent[] = [...decoder.feed(bytes), ...decoder.finish()]
  const assembler = new Assembler()
  for (const event of events) assembler.push(event)
  const completion = assembler.finish(isBroken || !events.some(isConclusion))
  return { completion, deltas: events.flatMap(({ deltas }) => deltas), error: assembler.error }
}
