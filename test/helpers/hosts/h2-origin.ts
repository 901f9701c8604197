/**
 * Origins that speak HTTP/2, for tests: Node's own server, with and without TLS, and a server of bare frames that
 * answers with whatever a test writes, for what no proper server does.
 */
import {
  createSecureServer,
  createServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from "node:http2"
import { createServer as createTcpServer, type Socket } from "node:net"
import type { TLSSocket } from "node:tls"
import type { Test } from "tap"
import { sharedCertificates } from "../test-proxy.ts"

/** Answers one request. `raw`: names and values in turn, as they came. */
export type StreamScript = (stream: ServerHttp2Stream, raw: readonly string[]) => void

export interface Http2Origin {
  readonly port: number
  /** Every session that was ever made. */
  readonly sessions: ServerHttp2Session[]
  /** For each TLS connection, whether it resumed an earlier one. */
  readonly resumed: boolean[]
  /** Every stream that was ever opened. */
  readonly streams: ServerHttp2Stream[]
  close(): Promise<void>
}

export interface Http2OriginOptions {
  settings?: Settings
  /** Speaks TLS with a certificate for this name; HTTP/1.1 is offered as well. */
  name?: string
}

/** An origin that the test closes. */
export async function startHttp2Origin(
  t: Test,
  script: StreamScript,
  { settings = {}, name }: Http2OriginOptions = {},
): Promise<Http2Origin> {
  const server =
    name === undefined
      ? createServer({ settings })
      : createSecureServer({ settings, ...(await sharedCertificates()).chainFor(name) })
  const sessions: ServerHttp2Session[] = []
  const streams: ServerHttp2Stream[] = []
  const resumed: boolean[] = []
  server.on("secureConnection", (socket: TLSSocket) => resumed.push(socket.isSessionReused()))
  server.on("session", (session) => {
    sessions.push(session)
    session.on("error", () => {}) // Broken connections are part of what is tested.
  })
  server.on("stream", (stream: ServerHttp2Stream, ...[, , raw]: unknown[]) => {
    streams.push(stream)
    stream.on("error", () => {})
    script(stream, raw as readonly string[])
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const close = async () => {
    for (const session of sessions) session.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
  t.teardown(close)
  return { port, sessions, streams, resumed, close }
}

/** Frame types (RFC 9113 section 6). */
export const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, origin: 12 }
/** END_STREAM of DATA and HEADERS. */
export const END = 1
/** END_HEADERS. */
export const WHOLE = 4

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A header block of literals that are not indexed (RFC 7541 section 6.2.2). Names and values up to 126 bytes. */
export function block(fields: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value, "latin1")])
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

/** Numbers of 32 bits, one after the other: what RST_STREAM and GOAWAY carry. */
export function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4)
  return bytes
}

/** One setting (RFC 9113 section 6.5.1). */
export function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUInt16BE(id, 0)
  bytes.writeUInt32BE(value, 2)
  return bytes
}

interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export interface FrameOrigin {
  readonly port: number
  /** Each with the frames that came on it. */
  readonly connections: { readonly socket: Socket; readonly frames: Frame[] }[]
}

/**
 * A server without TLS that sends `settings` first, agrees to the client's, and calls `script` with each request's HEADERS.
 * `stream` is its number.
 */
export async function startFrameOrigin(
  t: Test,
  script: (socket: Socket, stream: number, connection: number) => void,
  settings: Buffer = frame(FRAME.settings, 0, 0),
): Promise<FrameOrigin> {
  const connections: { socket: Socket; frames: Frame[] }[] = []
  const server = createTcpServer({ noDelay: true }, (socket) => {
    const frames: Frame[] = []
    const connection = connections.push({ socket, frames })
    socket.on("error", () => {})
    socket.write(settings)
    let seen: Buffer = Buffer.alloc(0)
    let preface = false
    socket.on("data", (bytes: Buffer) => {
      seen = Buffer.concat([seen, bytes])
      if (!preface && seen.length >= 24) {
        preface = true
        seen = seen.subarray(24)
      }
      while (preface && seen.length >= 9 && seen.length >= 9 + seen.readUIntBE(0, 3)) {
        const [type, flags, stream] = [seen.readUInt8(3), seen.readUInt8(4), seen.readUInt32BE(5)]
        const end = 9 + seen.readUIntBE(0, 3)
        frames.push({ type, flags, stream, payload: seen.subarray(9, end) })
        seen = seen.subarray(end)
        if (type === FRAME.settings && flags === 0) socket.write(frame(FRAME.settings, 1, 0))
        if (type === FRAME.headers) script(socket, stream, connection)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  t.teardown(async () => {
    for (const { socket } of connections) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return { port: typeof address === "object" && address !== null ? address.port : 0, connections }
}
