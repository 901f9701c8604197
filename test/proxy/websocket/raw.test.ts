/**
 * WebSockets byte by byte: what nobody changes leaves as it came, what breaks the protocol costs that connection, a cut
 * stays a cut, and who does not read holds up who sends.
 */
import { randomBytes } from "node:crypto"
import { createDeflateRaw, deflateRawSync } from "node:zlib"
import { type Test, test } from "tap"
import type { LoadedAddon } from "../../../lib/loader/chain.ts"
import { BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, writeFrame } from "../../../lib/websocket/frame.ts"
import { addon, gate, recorder, until } from "../../helpers/hosts/proxy-host.ts"
import { rawPair } from "../../helpers/hosts/websocket-host.ts"

const MASK = Buffer.from([1, 2, 3, 4])
const HOOKS = ["websocketStart", "websocketMessage", "websocketEnd", "response", "error"]

function reader(seen: string[] = []): LoadedAddon {
  return addon("reader", {
    websocketMessage: (_flow, { from, bytes }) => void seen.push(`${from} ${bytes.toString("latin1").slice(0, 20)}`),
  })
}

function frame(
  opcode: typeof TEXT | typeof BINARY | typeof CONTINUATION,
  fin: boolean,
  payload: string,
  mask?: Buffer,
): Buffer {
  const bytes = writeFrame(opcode, Buffer.from(payload, "latin1"), mask)
  bytes[0] = (fin ? 0x80 : 0) | opcode
  return bytes
}

const ping = (payload: string, mask?: Buffer) => writeFrame(PING, Buffer.from(payload), mask)
const close = (code: number, mask?: Buffer) => writeFrame(CLOSE, Buffer.from([code >> 8, code & 0xff]), mask)

/** The bytes that a side has got, once there are as many. */
async function got(wire: { bytes: Buffer; take(): Buffer }, count: number): Promise<Buffer> {
  await until(() => wire.bytes.length >= count)
  return Buffer.from(wire.take())
}

test("frames that nobody changes leave as they came: fragments, masks, control frames between them", async (t) => {
  const seen: string[] = []
  for (const addons of [[reader(seen)], [addon("ends", { websocketEnd() {} })], []]) {
    const { client, server, proxy } = await rawPair(t, { addons })
    for (const [from, to, mask] of [
      [client, server, MASK],
      [server, client, undefined],
    ] as const) {
      const parts = [
        frame(TEXT, false, "a", mask),
        frame(CONTINUATION, false, "", mask),
        frame(CONTINUATION, true, "b", mask),
        frame(BINARY, true, "", mask),
        ping("alive", mask),
        frame(TEXT, true, "c".repeat(70_000), mask),
        close(1000, mask),
      ]
      const bytes = Buffer.concat(parts)
      from.write(bytes)
      t.ok((await got(to, bytes.length)).equals(bytes))
    }
    client.end()
    server.end()
    await proxy.settled()
  }
  t.same(seen, ["client ab", "client ", `client ${"c".repeat(20)}`, "server ab", "server ", `server ${"c".repeat(20)}`])
})

test("a ping does not wait for a message that is not whole yet", async (t) => {
  const { client, server } = await rawPair(t, { addons: [reader()] })
  const first = frame(TEXT, false, "first ", MASK)
  const last = frame(CONTINUATION, true, "last", MASK)
  client.write(first)
  client.write(ping("now", MASK))
  t.ok((await got(server, ping("now", MASK).length)).equals(ping("now", MASK)))
  const pong = writeFrame(PONG, Buffer.from("now"), undefined)
  server.write(pong)
  t.ok((await got(client, pong.length)).equals(pong))
  client.write(last)
  t.ok((await got(server, first.length + last.length)).equals(Buffer.concat([first, last])))
})

test("messages stay in order while their hooks take their time, and the other direction goes on", async (t) => {
  const slow = gate()
  const wait = addon("wait", {
    websocketMessage: (_flow, { from, text }) => (from === "client" && text === "slow" ? slow.opened : undefined),
  })
  const { client, server } = await rawPair(t, { addons: [wait] })
  const bytes = Buffer.concat([frame(TEXT, true, "slow", MASK), frame(TEXT, true, "fast", MASK), ping("x", MASK)])
  client.write(bytes)
  const other = frame(TEXT, true, "back")
  server.write(other)
  t.ok((await got(client, other.length)).equals(other))
  t.equal(server.bytes.length, 0)
  slow.open()
  t.ok((await got(server, bytes.length)).equals(bytes))
})

test("who breaks the protocol is told so, and so is the other side: one line, one error, no more", async (t) => {
  const deflated = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
  const compressed = (payload: Buffer) => {
    const bytes = writeFrame(TEXT, payload, undefined)
    bytes[0] = 0xc0 | TEXT
    return bytes
  }
  const bomb = deflateRawSync(Buffer.alloc(4_000_000), { finishFlush: 2 })
  const cases: [string, "client" | "server", Buffer, number, string?][] = [
    ["a frame without a mask", "client", frame(TEXT, true, "x"), 1002],
    ["a masked frame", "server", frame(TEXT, true, "x", MASK), 1002],
    ["an unknown opcode", "server", Buffer.from([0x83, 0]), 1002],
    ["RSV1", "server", Buffer.from([0xc1, 0]), 1002],
    ["a Close with half a code", "server", Buffer.from([0x88, 1, 3]), 1002],
    ["a Close with a wrong code", "client", close(1005, MASK), 1002],
    ["a text that is no UTF-8", "client", frame(TEXT, true, "\xc3", MASK), 1007],
    ["what cannot be decompressed", "server", compressed(Buffer.from([0xff, 0xff])), 1007, deflated],
    ["a bomb", "server", compressed(bomb.subarray(0, -4)), 1009, deflated],
  ]
  for (const [name, from, bytes, code, fields] of cases) {
    const hooks = recorder(HOOKS)
    const { client, server, proxy } = await rawPair(
      t,
      { addons: [hooks.addon], settings: { bodyLimit: 65_536 } },
      fields,
    )
    const side = from === "client" ? client : server
    side.write(bytes)
    const told = await got(client, 4)
    t.equal(told[0], 0x88, name)
    t.equal(told.readUInt16BE(2), code, name)
    t.equal((await got(server, 8))[0], 0x88, `${name}: the server is told, too`)
    client.end()
    server.end()
    await proxy.settled()
    t.same(hooks.events, ["websocketStart", "websocketEnd", "error"], name)
    t.equal(hooks.flow().error?.code, "websocket-violation")
    t.equal(proxy.lines.filter((line) => line.includes("broke the WebSocket protocol")).length, 1)
  }
})

test("a cut is passed on as a cut, an end without a Close as an end, and both are 1006", async (t) => {
  for (const [from, how] of [
    ["client", "reset"],
    ["server", "reset"],
    ["client", "end"],
    ["server", "end"],
  ] as const) {
    const hooks = recorder(HOOKS)
    const { client, server, proxy } = await rawPair(t, { addons: [hooks.addon] })
    const [leaver, other] = from === "client" ? [client, server] : [server, client]
    leaver.write(frame(TEXT, true, "x", from === "client" ? MASK : undefined))
    await until(() => other.bytes.length > 0)
    if (how === "reset") leaver.reset()
    else leaver.end()
    t.equal(await other.ended, how, `${from} ${how}`)
    other.end()
    await proxy.settled()
    t.equal(hooks.flow().websocket?.closeCode, 1006)
    t.equal(hooks.flow().error?.code, how === "reset" && from === "client" ? "client-gone" : "cut")
    t.same(hooks.events, ["websocketStart", "websocketMessage", "websocketEnd", "error"])
  }
})

test("after its Close a side is not heard any more, and may leave as it likes", async (t) => {
  const seen: string[] = []
  const hooks = recorder(HOOKS)
  const { client, server, proxy } = await rawPair(t, { addons: [hooks.addon, reader(seen)] })
  client.write(Buffer.concat([close(1000, MASK), frame(TEXT, true, "late", MASK)]))
  await got(server, close(1000, MASK).length)
  client.reset()
  t.equal(await server.ended, "end")
  server.end()
  await proxy.settled()
  t.same(seen, [])
  t.same(hooks.events, ["websocketStart", "websocketEnd", "response"])
  t.equal(hooks.flow().websocket?.closedBy, "client")
})

async function largeMessages(t: Test, onError: "block" | "continue") {
  const hooks = recorder(HOOKS)
  const strict = addon("strict", { websocketMessage() {} }, { onError })
  return { hooks, ...(await rawPair(t, { addons: [hooks.addon, strict], settings: { bodyLimit: 10_000 } })) }
}

test("a message that is too large to be read passes unread, also in fragments, or is refused by an addon that insists", async (t) => {
  const { hooks, client, server, proxy } = await largeMessages(t, "continue")
  const large = frame(TEXT, true, "x".repeat(10_001), MASK)
  const parts = [
    frame(TEXT, false, "y".repeat(6_000), MASK),
    ping("p", MASK),
    frame(CONTINUATION, false, "y".repeat(6_000), MASK),
  ]
  const rest = frame(CONTINUATION, true, "y", MASK)
  client.write(large)
  t.ok((await got(server, large.length)).equals(large))
  for (const part of parts) client.write(part)
  await until(() => server.bytes.length >= Buffer.concat(parts).length)
  hooks.flow().websocket?.send("server", "mine")
  client.write(rest)
  const mine = writeFrame(TEXT, Buffer.from("mine"), MASK)
  const passed = await got(server, Buffer.concat(parts).length + rest.length + mine.length)
  t.match(passed.subarray(-mine.length, -mine.length + 1), Buffer.of(0x81), "what is sent meanwhile waits for its end")
  t.ok(passed.subarray(0, -mine.length).includes(rest))
  t.equal(hooks.flow().websocket?.unread, 2)
  client.write(frame(TEXT, true, "small", MASK))
  await hooks.saw("websocketMessage")
  t.equal(proxy.lines.filter((line) => line.includes("unread")).length, 2)

  const blocking = await largeMessages(t, "block")
  blocking.server.write(frame(BINARY, true, "x".repeat(10_001)))
  t.equal((await got(blocking.client, 4)).readUInt16BE(2), 1009)
  blocking.client.end()
  blocking.server.end()
  await blocking.proxy.settled()
  t.equal(blocking.hooks.flow().error?.code, "message-too-large")
})

test("a peer that reads nothing holds up the sender, in a bounded way", async (t) => {
  const { client, server } = await rawPair(t, { addons: [reader()] })
  server.socket.pause()
  const bytes = frame(BINARY, true, "x".repeat(65_000), MASK)
  let written = 0
  let stalled = 0
  while (stalled < 50) {
    if (client.socket.writableLength < 200_000) {
      client.write(bytes)
      written += bytes.length
      stalled = 0
    } else stalled += 1
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.ok(written < 100_000_000, `stopped after ${written} bytes`)
  server.socket.resume()
  await until(() => server.count >= written)
  t.pass("all of it arrives")
})

test("10 MB in one message, read and unchanged", async (t) => {
  const seen: string[] = []
  const { client, server } = await rawPair(t, { addons: [reader(seen)] })
  const bytes = writeFrame(BINARY, Buffer.alloc(10_000_000, "z"), MASK)
  const pieces: Buffer[] = []
  let size = 0
  server.socket.removeAllListeners("data")
  server.socket.on("data", (piece: Buffer) => {
    pieces.push(piece)
    size += piece.length
  })
  client.write(bytes)
  await until(() => size === bytes.length)
  t.ok(Buffer.concat(pieces).equals(bytes))
  t.equal(seen.length, 1)
})

test("unknown extensions cannot be read: relayed untouched, one line, no hook", async (t) => {
  const hooks = recorder(HOOKS)
  const { client, server, proxy } = await rawPair(t, { addons: [hooks.addon] }, "Sec-WebSocket-Extensions: x-own\r\n")
  client.write("no frame at all")
  t.equal((await got(server, 15)).toString("latin1"), "no frame at all")
  client.end()
  server.end()
  await proxy.settled()
  t.same(hooks.events, ["response"])
  t.equal(proxy.lines.filter((line) => line.includes("unknown extensions x-own")).length, 1)
})

test("a killed flow cuts both sides, a silent one is cut after idleTimeoutMs", async (t) => {
  const kill = addon("kill", { websocketMessage: (flow) => flow.kill("enough") })
  const hooks = recorder(HOOKS)
  const { client, server, proxy } = await rawPair(t, { addons: [hooks.addon, kill] })
  client.write(frame(TEXT, true, "x", MASK))
  t.same([await client.ended, await server.ended], ["reset", "reset"])
  await proxy.settled()
  t.equal(hooks.flow().error?.code, "killed")

  const idle = recorder(HOOKS)
  const pair = await rawPair(t, { addons: [idle.addon], settings: { idleTimeoutMs: 10_000 } })
  await idle.saw("websocketStart")
  await until(() => {
    pair.proxy.clock.advance(10_000)
    return pair.proxy.chain.flows === 0
  })
  t.equal(idle.flow().error?.code, "idle-timeout")
  t.same([await pair.client.ended, await pair.server.ended], ["reset", "reset"])
})

test("after a change, a compressed message too large to be written anew is refused; without takeover it passes", async (t) => {
  const edit = addon("edit", {
    websocketMessage: (_flow, message) => {
      if (message.text === "edit") message.text = "edited"
    },
  })
  const compressed = (text: string) => {
    const bytes = writeFrame(TEXT, deflateRawSync(text, { finishFlush: 2 }).subarray(0, -4), undefined)
    bytes[0] = 0xc0 | TEXT
    return bytes
  }
  for (const takeover of [true, false]) {
    const fields = `Sec-WebSocket-Extensions: permessage-deflate${takeover ? "" : "; server_no_context_takeover"}\r\n`
    const { client, server } = await rawPair(t, { addons: [edit], settings: { bodyLimit: 1_000 } }, fields)
    const edited = writeFrame(TEXT, Buffer.from("edited"), undefined)
    server.write(compressed("edit"))
    t.same(await got(client, edited.length), edited)
    const small = compressed("as it was")
    server.write(small)
    const plain = writeFrame(TEXT, Buffer.from("as it was"), undefined)
    t.same(await got(client, takeover ? plain.length : small.length), takeover ? plain : small)
    const large = compressed("x".repeat(2_000))
    server.write(large)
    const passed = await got(client, 4)
    if (takeover) t.equal(passed.readUInt16BE(2), 1009)
    else t.same(passed, large)
  }
})

test("a compressed message that is long on the wire passes unread, and the ones after it are read", async (t) => {
  const seen: string[] = []
  const { client, server } = await rawPair(
    t,
    { addons: [reader(seen)], settings: { bodyLimit: 5_000 } },
    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
  )
  const stream = createDeflateRaw()
  const compressed = async (text: string) => {
    stream.write(text, "latin1")
    await new Promise<void>((resolve) => stream.flush(2, resolve))
    const bytes = writeFrame(TEXT, (stream.read() as Buffer).subarray(0, -4), MASK)
    bytes[0] = 0xc0 | TEXT
    return bytes
  }
  const noise = randomBytes(8_000).toString("base64")
  const frames = [await compressed(noise), await compressed(noise.slice(0, 1_000))]
  stream.destroy()
  const bytes = Buffer.concat(frames)
  for (let at = 0; at < bytes.length; at += 1_000) client.write(bytes.subarray(at, at + 1_000))
  t.ok((await got(server, bytes.length)).equals(bytes))
  t.same(seen, [`client ${noise.slice(0, 20)}`], "it refers to the one that was not read")
})

test("what memoryLimit has no room for passes unread", async (t) => {
  const hooks = recorder(HOOKS)
  const { client, server } = await rawPair(t, { addons: [hooks.addon], settings: { memoryLimit: 20_000 } })
  const bytes = Buffer.concat([
    frame(BINARY, false, "x".repeat(9_000), MASK),
    frame(CONTINUATION, false, "x".repeat(9_000), MASK),
    frame(CONTINUATION, true, "x".repeat(9_000), MASK),
    frame(BINARY, true, "small", MASK),
  ])
  client.write(bytes)
  t.ok((await got(server, bytes.length)).equals(bytes))
  t.equal(hooks.flow().websocket?.unread, 1)
  t.equal(hooks.flow().websocket?.messages.length, 1)
})

test("an addon that insists and fails at the start closes both sides with 1011; one that fails at the end changes nothing", async (t) => {
  const no = () => Promise.reject(new Error("no"))
  const start = await rawPair(t, { addons: [addon("start", { websocketStart: no }, { onError: "block" })] })
  await until(() => start.client.all.endsWith("\x88\x02\x03\xf3"))
  start.client.end()
  start.server.end()
  await start.proxy.settled()
  const hooks = recorder(["response", "error"])
  const end = await rawPair(t, { addons: [hooks.addon, addon("end", { websocketEnd: no }, { onError: "block" })] })
  end.client.write(close(1000, MASK))
  end.client.end()
  end.server.end()
  await end.proxy.settled()
  t.same(hooks.events, ["response"])
})
