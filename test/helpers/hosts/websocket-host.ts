/**
 * WebSockets for tests: a server (ws) behind a proxy, real clients (ws) in front of it, and raw ones whose bytes the
 * test writes itself. The proxy's base-URL door leads to the server, so every address is the proxy's own.
 */
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import type { Test } from "tap"
import { type ClientOptions, type RawData, type ServerOptions, WebSocket, WebSocketServer } from "ws"
import type { LoadedAddon } from "../../../lib/loader/chain.ts"
import type { ProxySettings } from "../../../lib/proxy/settings.ts"
import { Wire } from "../wire/wire.ts"
import { type ProxyHost, startHost } from "./proxy-host.ts"

export interface SocketHostOptions {
  addons?: readonly LoadedAddon[]
  settings?: Partial<ProxySettings>
  server?: ServerOptions
  /** What the server does with each connection. Default: echoes. */
  serve?: (socket: WebSocket) => void
}

export interface SocketHost {
  readonly proxy: ProxyHost
  readonly url: string
  /** The server's connections, as they came. */
  readonly served: WebSocket[]
  /** A client whose handshake is done. */
  client(options?: ClientOptions, path?: string): Promise<SocketClient>
}

export interface SocketClient {
  readonly socket: WebSocket
  /** The next message: a text, or bytes. */
  next(): Promise<string | Buffer>
  /** The Close that ended it. */
  readonly closed: Promise<{ code: number; reason: string }>
}

export async function startSocketHost(t: Test, options: SocketHostOptions = {}): Promise<SocketHost> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", ...options.server })
  await once(server, "listening")
  const served: WebSocket[] = []
  server.on("connection", (socket) => {
    served.push(socket)
    socket.on("error", () => {})
    if (options.serve === undefined) socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }))
    else options.serve(socket)
  })
  t.teardown(() => {
    for (const socket of served) socket.terminate()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const proxy = await hostBefore(t, port, options)
  const url = `ws://127.0.0.1:${proxy.port}`
  const client = async (clientOptions: ClientOptions = {}, path = "/socket") => {
    const socket = new WebSocket(url + path, clientOptions)
    t.teardown(() => socket.terminate())
    const made = clientOf(socket)
    await once(socket, "open")
    return made
  }
  return { proxy, url, served, client }
}

/** A proxy whose base-URL door leads to `port`. */
export function hostBefore(t: Test, port: number, options: SocketHostOptions = {}): Promise<ProxyHost> {
  const settings = { baseUpstream: new URL(`http://127.0.0.1:${port}`), ...options.settings }
  return startHost(t, { settings, ...(options.addons === undefined ? {} : { addons: options.addons }) })
}

function clientOf(socket: WebSocket): SocketClient {
  const messages: (string | Buffer)[] = []
  let wake = () => {}
  socket.on("message", (data: RawData, isBinary) => {
    const bytes = Buffer.isBuffer(data) ? data : Buffer.alloc(0)
    messages.push(isBinary ? bytes : bytes.toString("utf8"))
    wake()
  })
  socket.on("error", () => {})
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.once("close", (code, reason) => resolve({ code, reason: reason.toString("utf8") })),
  )
  void closed.then(() => wake())
  const next = async () => {
    for (;;) {
      const message = messages.shift()
      if (message !== undefined) return message
      if (socket.readyState === WebSocket.CLOSED) throw new Error("the WebSocket closed before the next message")
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return { socket, next, closed }
}

export const UPGRADE_FIELDS =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

const SWITCHED =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

export interface RawPair {
  readonly proxy: ProxyHost
  readonly client: Wire
  readonly server: Wire
}

/** A client and a server of bytes, with the proxy between them, behind their handshake. `fields` are the server's. */
export async function rawPair(t: Test, options: SocketHostOptions = {}, fields = ""): Promise<RawPair> {
  const { createServer } = await import("node:net")
  const listener = createServer({ allowHalfOpen: true, noDelay: true })
  listener.listen(0, "127.0.0.1")
  await once(listener, "listening")
  const accepted = once(listener, "connection")
  const { port } = listener.address() as AddressInfo
  const proxy = await hostBefore(t, port, options)
  const client = await Wire.connect(proxy.port, { allowHalfOpen: true })
  client.write(`GET /socket HTTP/1.1\r\nHost: 127.0.0.1\r\n${UPGRADE_FIELDS}\r\n`)
  const [socket] = await accepted
  const server = new Wire(socket)
  t.teardown(() => {
    client.socket.destroy()
    server.socket.destroy()
    listener.close()
  })
  await server.until("\r\n\r\n")
  server.take()
  server.write(`${SWITCHED}${fields}\r\n`)
  await client.until("\r\n\r\n")
  client.take()
  return { proxy, client, server }
}
