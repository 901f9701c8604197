/**
 * Servers of upgraded connections for end-to-end tests: a WebSocket server (RFC 6455) that echoes each message, with
 * node:http for the handshake and just enough framing by hand.
 */
import { createHash } from "node:crypto"
import { once } from "node:events"
import { createServer as createPlainServer } from "node:http"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import type { Test } from "tap"
import { sharedCertificates } from "../test-proxy.ts"

/** RFC 6455, 1.3. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/** Serves wss://NAME, or ws: where there is no name, and returns the port. */
export async function startEchoHost(t: Test, name?: string): Promise<number> {
  const server = name === undefined ? createPlainServer() : createServer((await sharedCertificates()).chainFor(name))
  const sockets = new Set<Duplex>()
  server.on("upgrade", ({ headers }, socket) => {
    sockets.add(socket)
    const accept = createHash("sha1").update(`${headers["sec-websocket-key"]}${GUID}`).digest("base64")
    const fields = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}`
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n\r\n`)
    echo(socket)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

function echo(socket: Duplex): void {
  let seen: Buffer = Buffer.alloc(0)
  socket.on("error", () => {})
  socket.on("data", (bytes: Buffer) => {
    seen = Buffer.concat([seen, bytes])
    for (let frame = takeFrame(seen); frame !== undefined; frame = takeFrame(seen)) {
      seen = seen.subarray(frame.length)
      socket.write(frame.echo)
      if (frame.isClose) socket.end()
    }
  })
}

/** The first masked frame, as the frame that says the same without a mask (RFC 6455, 5.2). Up to 64 KiB. */
function takeFrame(bytes: Buffer): { length: number; echo: Buffer; isClose: boolean } | undefined {
  if (bytes.length < 2) return undefined
  const [first = 0, second = 0] = bytes
  const isLong = (second & 0x7f) === 126
  const start = isLong ? 8 : 6
  if (bytes.length < start) return undefined
  const size = isLong ? bytes.readUInt16BE(2) : second & 0x7f
  if (bytes.length < start + size) return undefined
  const mask = bytes.subarray(start - 4, start)
  const payload = bytes.subarray(start, start + size).map((byte, i) => byte ^ (mask[i % 4] ?? 0))
  const head = isLong ? Buffer.of(first, 126, size >> 8, size & 0xff) : Buffer.of(first, size)
  return { length: start + size, echo: Buffer.concat([head, payload]), isClose: (first & 0x0f) === 8 }
}
