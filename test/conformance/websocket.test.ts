/**
 * WebSocket in the conformance table: over HTTP/1.1 and over HTTP/2 (RFC 8441) on either side, relayed unseen and read
 * by an addon. The frames that arrive are the frames that were sent, and a Close passes with its code.
 */
import { createHash, randomBytes } from "node:crypto"
import { connect as connectHttp2, createSecureServer, type ServerHttp2Stream } from "node:http2"
import { createServer as createHttpsServer } from "node:https"
import type { Server, Socket } from "node:net"
import type { Duplex } from "node:stream"
import { connect as connectTls, type TLSSocket } from "node:tls"
import { type Test, test } from "tap"
import type { Hooks } from "../../lib/api/hooks.ts"
import { BINARY, CLOSE, PING, PONG, TEXT, writeFrame } from "../../lib/websocket/frame.ts"
import { FrameParser } from "../../lib/websocket/frame-parser.ts"
import { eventually, sharedCertificates, startProxy, type TestProxy } from "../helpers/test-proxy.ts"
import type { Protocol } from "./origin.ts"
import { NAME, openTunnel } from "./ways.ts"

const LARGE = randomBytes(1_048_576)
const MASK = Buffer.of(1, 2, 3, 4)
/** RFC 6455 section 1.3. */
const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/** Answers each data frame with one of the same content, PING with PONG, and a Close with the same Close. */
function echo(stream: Duplex): void {
  const parser = new FrameParser({ from: "client", deflate: false })
  stream.on("error", () => {})
  let pieces: Buffer[] = []
  let opcode: typeof TEXT | typeof BINARY = TEXT
  let mask = Buffer.alloc(4)
  stream.on("data", (bytes: Buffer) => {
    for (const event of parser.feed(bytes)) {
      if (event.type === "head") {
        pieces = []
        opcode = event.head.opcode === BINARY ? BINARY : TEXT
        mask = Buffer.from(event.head.mask ?? mask)
      } else if (event.type === "data") pieces.push(event.raw)
      else if (event.type === "end") stream.write(writeFrame(opcode, unmasked(Buffer.concat(pieces), mask), undefined))
      else if (event.opcode === PING) stream.write(writeFrame(PONG, event.payload, undefined))
      else if (event.opcode === CLOSE) stream.end(writeFrame(CLOSE, event.payload, undefined))
    }
  })
}

function unmasked(bytes: Buffer, mask: Buffer): Buffer {
  return bytes.map((byte, index) => byte ^ (mask[index & 3] ?? 0)) as Buffer // Buffer.map makes a Buffer
}

/** An origin that takes WebSockets by its protocol alone. */
async function startEcho(t: Test, protocol: Protocol): Promise<{ port: number; opened: string[] }> {
  const keys = (await sharedCertificates()).chainFor(NAME)
  const opened: string[] = []
  const server: Server = protocol === "h2" ? http2Echo(keys, opened) : http1Echo(keys, opened)
  const sockets = new Set<Socket>()
  server.on("connection", (socket: Socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { opened, port: typeof address === "object" ? (address?.port ?? 0) : 0 }
}

interface Keys {
  readonly key: string
  readonly cert: string
}

function http1Echo(keys: Keys, opened: string[]): Server {
  const server = createHttpsServer(keys, (_, response) => void response.end("no socket"))
  server.on("upgrade", (request, socket: Duplex) => {
    opened.push("http/1.1")
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}${ACCEPT_GUID}`).digest("base64")
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
    echo(socket)
  })
  return server
}

function http2Echo(keys: Keys, opened: string[]): Server {
  const server = createSecureServer({ ...keys, settings: { enableConnectProtocol: true } })
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => {})
    const isSocket = headers[":protocol"] === "websocket"
    if (isSocket) opened.push("h2")
    stream.respond({ ":status": 200 }, { endStream: false })
    if (isSocket) echo(stream)
    else stream.end("no socket")
  })
  return server
}

async function secure(proxy: TestProxy, originPort: number, alpn: string): Promise<TLSSocket> {
  const socket = await openTunnel(proxy.port, `${NAME}:${originPort}`)
  const tls = connectTls({ socket, ca: proxy.certificates.ca, servername: NAME, ALPNProtocols: [alpn] })
  tls.on("error", () => {})
  await new Promise<void>((resolve, reject) => {
    tls.once("secureConnect", resolve)
    tls.once("error", reject)
  })
  return tls
}

/** An ordinary request first, so that the proxy knows what the origin speaks; then a WebSocket on the same tunnel. */
async function openSocket(t: Test, proxy: TestProxy, port: number, client: Protocol): Promise<Duplex> {
  if (client === "h2") return openHttp2(t, await secure(proxy, port, "h2"), port)
  const tls = await secure(proxy, port, "http/1.1")
  t.teardown(() => tls.destroy())
  tls.write(`GET /warm HTTP/1.1\r\nHost: ${NAME}:${port}\r\n\r\n`)
  await headOf(tls, "no socket")
  const key = randomBytes(16).toString("base64")
  const fields = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}`
  tls.write(`GET /socket HTTP/1.1\r\nHost: ${NAME}:${port}\r\n${fields}\r\n\r\n`)
  const head = await headOf(tls, "\r\n\r\n")
  t.match(head, /^HTTP\/1\.1 101 /)
  const accept = createHash("sha1").update(`${key}${ACCEPT_GUID}`).digest("base64")
  t.match(head.toLowerCase(), `sec-websocket-accept: ${accept.toLowerCase()}`, "the client's own key is answered")
  return tls
}

/** Reads up to the end of `text`. */
async function headOf(socket: Duplex, text: string): Promise<string> {
  let seen = ""
  while (!seen.includes(text)) {
    const piece: unknown = socket.read()
    if (Buffer.isBuffer(piece)) seen += piece.toString("latin1")
    else await new Promise((resolve) => socket.once("readable", resolve))
  }
  return seen
}

async function openHttp2(t: Test, socket: TLSSocket, port: number): Promise<Duplex> {
  const session = connectHttp2(`https://${NAME}:${port}`, { createConnection: () => socket })
  session.on("error", () => {})
  t.teardown(() => session.destroy())
  const warm = session.request({ ":path": "/warm" })
  warm.resume()
  await new Promise((resolve) => warm.once("end", resolve))
  const stream = session.request(
    { ":method": "CONNECT", ":protocol": "websocket", ":path": "/socket", "sec-websocket-version": "13" },
    { endStream: false },
  )
  stream.on("error", () => {})
  const status = await new Promise((resolve) => stream.once("response", (fields) => resolve(fields[":status"])))
  t.equal(status, 200)
  return stream
}

/** Sends a text, a binary message, a PING and a Close; resolves to what came back. */
async function talk(socket: Duplex): Promise<{ frames: { opcode: number; payload: Buffer }[]; ended: boolean }> {
  const parser = new FrameParser({ from: "server", deflate: false })
  const frames: { opcode: number; payload: Buffer }[] = []
  const over = new Promise<boolean>((resolve) => {
    socket.once("end", () => resolve(true))
    socket.once("close", () => resolve(false))
  })
  socket.on("data", (bytes: Buffer) => {
    for (const event of parser.feed(bytes)) {
      if (event.type === "head") frames.push({ opcode: event.head.opcode, payload: Buffer.alloc(0) })
      else if (event.type === "control") frames.push({ opcode: event.opcode, payload: event.payload })
      else if (event.type === "data") {
        const last = frames.at(-1)
        if (last !== undefined) last.payload = Buffer.concat([last.payload, event.raw])
      }
    }
  })
  socket.write(writeFrame(TEXT, Buffer.from("hällo"), MASK))
  socket.write(writeFrame(BINARY, LARGE, MASK))
  socket.write(writeFrame(PING, Buffer.from("there?"), MASK))
  const close = Buffer.concat([Buffer.of(0x0f, 0xa1), Buffer.from("enough")])
  socket.end(writeFrame(CLOSE, close, MASK))
  return { ended: await over, frames }
}

const HOOKS: Record<string, (seen: string[]) => Partial<Hooks>> = {
  "relayed unseen": () => ({}),
  "read by an addon": (seen) => ({
    websocketMessage: (_, message) => void seen.push(`${message.from} ${message.type} ${message.bytes.length}`),
    websocketEnd: (flow) => void seen.push(`end ${flow.websocket?.closeCode}`),
  }),
}

const PROTOCOLS: readonly Protocol[] = ["http/1.1", "h2"]

for (const client of PROTOCOLS)
  for (const upstream of PROTOCOLS)
    for (const [how, hooks] of Object.entries(HOOKS))
      test(`WebSocket, ${client} to ${upstream}, ${how}`, async (t) => {
        const origin = await startEcho(t, upstream)
        const seen: string[] = []
        const proxy = await startProxy(t, { hooks: hooks(seen) })
        const socket = await openSocket(t, proxy, origin.port, client)
        const { frames, ended } = await talk(socket)
        t.same(
          frames.map(({ opcode }) => opcode),
          [TEXT, BINARY, PONG, CLOSE],
        )
        t.equal(frames[0]?.payload.toString(), "hällo")
        t.ok(frames[1]?.payload.equals(LARGE), "a megabyte as it was")
        t.equal(frames[2]?.payload.toString(), "there?")
        t.equal(frames[3]?.payload.readUInt16BE(0), 4_001)
        t.equal(frames[3]?.payload.toString("utf8", 2), "enough")
        t.ok(ended, "it ends, and is not cut")
        t.same(origin.opened, [upstream])
        if (how === "relayed unseen") return
        await eventually(() => seen.some((line) => line.startsWith("end")))
        const large = `binary ${LARGE.length}`
        t.same(
          [...seen].sort(),
          ["client text 6", `client ${large}`, "server text 6", `server ${large}`, "end 4001"].sort(),
        )
      })
