/**
 * The benchmark's load: raw sockets through CONNECT and TLS, one request outstanding on each. Errors are counted and the
 * body's bytes are compared, so that a proxy cannot be fast by being wrong.
 */
import { connect as connectTcp, type Socket } from "node:net"
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from "node:tls"

export interface LoadTarget {
  /** The proxy's port on 127.0.0.1; a reverse proxy's when `connect` is false. */
  readonly port: number
  /** Whether CONNECT comes first. */
  readonly connect: boolean
  /** PEM certificates to trust. */
  readonly ca: string
  /** The host that requests are for. */
  readonly host: string
  readonly originPort: number
}

export interface LoadResult {
  readonly requests: number
  readonly errors: number
}

export const BODY = JSON.stringify({
  model: "gpt-4o",
  messages: [{ role: "user", content: "lorem ipsum ".repeat(165) }],
})

/** As SDKs write them. */
export const FIELDS = {
  "user-agent": "bench/1.0",
  accept: "application/json",
  "accept-encoding": "gzip, deflate",
  authorization: "Bearer bench",
  "content-type": "application/json",
  "x-stainless-lang": "js",
  "x-stainless-retry-count": "0",
  "content-length": String(BODY.length),
}

/** A request of some 2 kB. */
function requestText({ host, originPort }: LoadTarget): string {
  const fields = Object.entries(FIELDS).map(([name, value]) => `${name}: ${value}\r\n`)
  return `POST /v1/bench HTTP/1.1\r\nHost: ${host}:${originPort}\r\n${fields.join("")}\r\n${BODY}`
}

/** Opens a connection to the target, ready for requests. */
export async function open(
  target: LoadTarget,
  context: SecureContext,
  host = target.host,
  alpn: readonly string[] = ["http/1.1"],
): Promise<TLSSocket> {
  const tcp = connectTcp({ port: target.port, host: "127.0.0.1", noDelay: true })
  await once(tcp, "connect")
  if (target.connect) {
    tcp.write(`CONNECT ${host}:${target.originPort} HTTP/1.1\r\nHost: ${host}:${target.originPort}\r\n\r\n`)
    // Some peers write the answer line by line.
    for (let seen = ""; !seen.endsWith("\r\n\r\n"); ) seen += String(await once(tcp, "data"))
    tcp.pause()
    tcp.removeAllListeners()
  }
  const tls = connectTls({ socket: tcp, servername: host, secureContext: context, ALPNProtocols: [...alpn] })
  await once(tls, "secureConnect")
  tls.removeAllListeners("error")
  return tls
}

function once(socket: Socket, event: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve)
    socket.once("error", reject)
    socket.once("close", () => reject(new Error(`closed before ${event}`)))
  })
}

/** Sends `requests` over `connections` keep-alive connections. Reconnects where the peer closes. */
export async function closedLoop(target: LoadTarget, requests: number, connections: number): Promise<LoadResult> {
  const context = createSecureContext({ ca: target.ca })
  const text = requestText(target)
  let left = requests
  let errors = 0
  let expected: Buffer | undefined
  const worker = async () => {
    let socket: TLSSocket | undefined
    while (left-- > 0) {
      try {
        socket ??= await open(target, context)
        const { body, closes } = await roundTrip(socket, text)
        expected ??= body
        if (!body.equals(expected)) errors++
        if (closes) {
          socket.destroy()
          socket = undefined
        }
      } catch {
        errors++
        socket?.destroy()
        socket = undefined
      }
    }
    socket?.destroy()
  }
  await Promise.all(Array.from({ length: connections }, worker))
  return { requests, errors }
}

/** One request and its whole answer. */
export function roundTrip(socket: Socket, text: string): Promise<{ body: Buffer; closes: boolean }> {
  return new Promise((resolve, reject) => {
    let seen: Buffer = Buffer.alloc(0)
    const stop = () => {
      socket.off("data", onData)
      socket.off("close", onClose)
      socket.off("error", onClose)
    }
    const onClose = () => {
      stop()
      reject(new Error("closed before the answer was complete"))
    }
    const onData = (bytes: Buffer) => {
      seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes])
      try {
        const answer = wholeAnswer(seen)
        if (answer === undefined) return
        stop()
        resolve(answer)
      } catch (error) {
        stop()
        reject(error)
      }
    }
    socket.on("data", onData)
    socket.once("close", onClose)
    socket.once("error", onClose)
    socket.write(text, "latin1")
  })
}

function wholeAnswer(bytes: Buffer): { body: Buffer; closes: boolean } | undefined {
  const headEnd = bytes.indexOf("\r\n\r\n")
  if (headEnd < 0) return undefined
  const head = bytes.toString("latin1", 0, headEnd)
  if (!head.startsWith("HTTP/1.1 200")) throw new Error(head.slice(0, 40))
  const closes = /\r\nconnection: *close/i.test(head)
  const length = /content-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) {
    const end = headEnd + 4 + Number(length)
    return bytes.length < end ? undefined : { body: bytes.subarray(headEnd + 4, end), closes }
  }
  const body = unchunk(bytes, headEnd + 4)
  return body === undefined ? undefined : { body, closes }
}

/** The body of a chunked answer once it is whole: some peers re-frame. */
function unchunk(bytes: Buffer, start: number): Buffer | undefined {
  const pieces: Buffer[] = []
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf("\r\n", at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16)
    if (size === 0) return bytes.indexOf("\r\n\r\n", lineEnd) < 0 ? undefined : Buffer.concat(pieces)
    const next = lineEnd + 2 + size + 2
    if (bytes.length < next) return undefined
    pieces.push(bytes.subarray(lineEnd + 2, next - 2))
    at = next
  }
}

/** A stream that was opened: what has been seen of it. */
export interface StreamSeen {
  events: number
  /** Nanoseconds from the origin's write to our read, one an event. */
  readonly latencies: number[]
  readonly socket: TLSSocket
  done: boolean
}

/** Opens `count` streams, `rate` events a second each, `events` of them (0: one, then silence). */
export async function openStreams(
  target: LoadTarget,
  count: number,
  rate: number,
  events: number,
  path = "/v1/chat/completions",
): Promise<StreamSeen[]> {
  const context = createSecureContext({ ca: target.ca })
  const body = JSON.stringify({ model: "gpt-4o", stream: true, messages: [{ role: "user", content: "hello" }] })
  const head = `POST ${path}?rate=${rate}&events=${events} HTTP/1.1\r\nHost: ${target.host}:${target.originPort}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
  const streams: StreamSeen[] = []
  for (let index = 0; index < count; index++) {
    const socket = await open(target, context)
    const seen: StreamSeen = { events: 0, latencies: [], socket, done: false }
    streams.push(seen)
    socket.on("error", () => {})
    socket.on("data", (bytes: Buffer) => note(seen, bytes))
    socket.write(head + body, "latin1")
  }
  return streams
}

function note(seen: StreamSeen, bytes: Buffer): void {
  const now = process.hrtime.bigint()
  const text = bytes.toString("latin1")
  for (const match of text.matchAll(/"at":"(\d+)"/g)) {
    seen.events++
    seen.latencies.push(Number(now - BigInt(match[1] ?? 0)))
  }
  if (text.includes("[DONE]")) seen.done = true
}
