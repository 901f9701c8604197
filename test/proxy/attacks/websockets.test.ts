/**
 * WebSocket peers that mean harm, while an addon listens: bombs, and pings whose pongs nobody reads. They cost their
 * own connection, and what waits for a peer that does not read is bounded.
 */
import { constants, deflateRawSync } from "node:zlib"
import { type Test, test } from "tap"
import { PING, TEXT, writeFrame } from "../../../lib/websocket/frame.ts"
import { addon, recorder, until } from "../../helpers/hosts/proxy-host.ts"
import {
  type SocketClient,
  type SocketHost,
  startSocketHost,
  UPGRADE_FIELDS,
} from "../../helpers/hosts/websocket-host.ts"
import type { Wire } from "../../helpers/wire/wire.ts"

const MB = 1_000_000
const MASK = Buffer.of(1, 2, 3, 4)
/** Turns of the event loop after which a writer that makes no headway gives up. */
const STALLED_TURNS = 200

const DEFLATED = "Sec-WebSocket-Extensions: permessage-deflate\r\n"

/** A client of bytes, behind its handshake. */
async function raw(host: SocketHost, fields = ""): Promise<Wire> {
  const wire = await host.proxy.connect()
  wire.write(`GET /socket HTTP/1.1\r\nHost: 127.0.0.1\r\n${UPGRADE_FIELDS}${fields}\r\n`)
  await wire.until("\r\n\r\n")
  wire.take()
  return wire
}

async function lives(t: Test, client: SocketClient, text: string): Promise<void> {
  client.socket.send(text)
  t.equal(await client.next(), text)
}

/** 1 MB that becomes 1 GB: blocks of zeros, each ended by a sync flush, so that they can stand one after the other. */
function bomb(): Buffer {
  const block = deflateRawSync(Buffer.alloc(64 * MB), { finishFlush: constants.Z_SYNC_FLUSH })
  const payload = Buffer.concat(Array.from({ length: 16 }, () => block)).subarray(0, -4)
  const bytes = writeFrame(TEXT, payload, MASK)
  bytes[0] = 0xc0 | TEXT
  return bytes
}

/** Calls `write` for as long as `room` says; returns once there has been none for a while. */
async function flood(room: () => boolean, write: () => void): Promise<void> {
  for (let stalled = 0; stalled < STALLED_TURNS; stalled++) {
    if (room()) {
      write()
      stalled = 0
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test("a bomb of 1 MB that would become 1 GB ends with Close 1009, in little memory, and others go on", async (t) => {
  const bytes = bomb()
  t.ok(bytes.length < 1.1 * MB)
  const hooks = recorder(["websocketMessage", "websocketEnd", "response", "error"])
  const settings = { bodyLimit: 2 * MB }
  const host = await startSocketHost(t, { addons: [hooks.addon], settings, server: { perMessageDeflate: true } })
  const other = await host.client()
  await lives(t, other, "before")
  hooks.events.length = 0
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  for (let round = 1; round <= 3; round++) {
    const client = await raw(host, DEFLATED)
    client.write(bytes)
    await until(() => client.bytes.length >= 4)
    t.equal(client.bytes[0], 0x88)
    t.equal(client.bytes.readUInt16BE(2), 1009)
    await client.ended
    client.end()
    await until(() => hooks.events.filter((event) => event === "error").length === round)
    t.equal(hooks.events.filter((event) => event === "websocketMessage").length, 0)
  }
  t.ok(process.memoryUsage().rss - before < 150 * MB)
  await lives(t, other, "behind")
})

test("a bomb that is too long on the wire to be read is stopped as well", async (t) => {
  const hooks = recorder(["error"])
  const settings = { bodyLimit: 65_536 }
  const host = await startSocketHost(t, {
    addons: [hooks.addon, reader()],
    settings,
    server: { perMessageDeflate: true },
  })
  const other = await host.client()
  const client = await raw(host, DEFLATED)
  client.write(bomb())
  await client.ended
  await hooks.saw("error")
  t.equal(hooks.flow().error?.code, "websocket-violation")
  await lives(t, other, "behind")
})

function reader() {
  return addon("reader", { websocketMessage: () => {} })
}

test("pings to a server that does not read wait at the client, and others go on", async (t) => {
  let pings = 0
  const host = await startSocketHost(t, {
    addons: [reader()],
    server: { autoPong: false },
    serve: (socket) => {
      if (host.served.length === 1) socket.pause()
      socket.on("ping", () => pings++)
      socket.on("message", (data) => socket.send(data.toString()))
    },
  })
  const client = await raw(host)
  const other = await host.client()
  const ping = writeFrame(PING, Buffer.alloc(100), MASK)
  const piece = Buffer.concat(Array.from({ length: 500 }, () => ping))
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  let sent = 0
  await flood(
    () => sent * ping.length < 100 * MB && client.socket.writableLength < 200_000,
    () => {
      client.write(piece)
      sent += 500
    },
  )
  t.ok(sent * ping.length < 100 * MB, `${sent} pings were taken`)
  t.ok(process.memoryUsage().rss - before < 150 * MB)
  await lives(t, other, "meanwhile")
  t.equal(pings, 0)
  host.served[0]?.resume()
  await until(() => pings === sent)
  t.pass("every one of them arrives")
})

test("pongs to a client that does not read wait at the server, and others go on", async (t) => {
  const host = await startSocketHost(t, { addons: [reader()] })
  const client = await raw(host)
  const other = await host.client()
  client.socket.pause()
  const server = host.served[0]
  if (server === undefined) throw new Error("the server has no connection")
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  const pong = 102
  let sent = 0
  await flood(
    () => sent * pong < 100 * MB && server.bufferedAmount < 200_000,
    () => {
      for (let count = 0; count < 500; count++) server.pong(Buffer.alloc(100))
      sent += 500
    },
  )
  t.ok(sent * pong < 100 * MB, `${sent} pongs were taken`)
  t.ok(process.memoryUsage().rss - before < 150 * MB)
  await lives(t, other, "meanwhile")
  let came = client.count
  client.socket.removeAllListeners("data")
  client.socket.on("data", (bytes: Buffer) => {
    came += bytes.length
  })
  const handshake = client.count
  client.socket.resume()
  await until(() => came - handshake === sent * pong)
  t.pass("every one of them arrives")
})
