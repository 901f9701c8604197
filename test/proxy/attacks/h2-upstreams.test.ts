/**
 * HTTP/2 servers that mean harm, frame by frame: whoever asks one of them gets 502 or 504 in a time that the clock
 * bounds, and requests to other servers are answered.
 */
import type { Socket } from "node:net"
import { type Test, test } from "tap"
import { call, type H2Answer, openSession } from "../../helpers/clients/h2-client.ts"
import {
  block,
  END,
  FRAME,
  type FrameOrigin,
  frame,
  setting,
  startFrameOrigin,
  startHttp2Origin,
  WHOLE,
  words,
} from "../../helpers/hosts/h2-origin.ts"
import { eventually, startProxy, type TestProxy } from "../../helpers/test-proxy.ts"

const MB = 1_000_000
const PUSH_PROMISE = 5
const CONTINUATION = 9
/** Entry 8 of HPACK's static table: `:status 200`. */
const OK = Buffer.of(0x88)

type Script = (socket: Socket, stream: number, connection: number) => void

interface World {
  readonly proxy: TestProxy
  readonly origin: FrameOrigin
  /** Asks the server that means harm. Once it has got the request, the clock goes on until there is an answer. */
  bad(): Promise<H2Answer>
  /** The same while the clock stands still. */
  ask(): Promise<H2Answer>
  /** Requests that have come to that server. */
  requests(): number
  /** Asks the other one. */
  good(): Promise<string>
}

async function world(t: Test, script: Script, first?: Buffer, connections = 256): Promise<World> {
  const origin = await startFrameOrigin(t, script, first)
  const other = await startHttp2Origin(t, (stream) => {
    stream.respond({ ":status": 200 })
    stream.end("good")
  })
  const rule = (host: string, toPort: number) => ({ host, port: undefined, toHost: "127.0.0.1", toPort })
  const connectTo = [rule("bad.test", origin.port), rule("good.test", other.port)]
  const proxy = await startProxy(t, { settings: { connectTo, upstreamConnections: connections } })
  const session = await openSession(t, `http://127.0.0.1:${proxy.port}`)
  const ask = (authority: string) => call(session, { ":path": "/", ":scheme": "http", ":authority": authority })
  const requests = () => origin.connections.flatMap(({ frames }) => frames).filter(isHead).length
  const bad = async () => {
    const before = requests()
    let answer: H2Answer | undefined
    const asked = ask("bad.test").then((one) => {
      answer = one
      return one
    })
    await eventually(() => {
      if (answer === undefined && requests() > before) proxy.clock.advance(1_000)
      return answer !== undefined
    })
    return asked
  }
  const good = async () => (await ask("good.test")).text
  return { proxy, origin, bad, good, requests, ask: () => ask("bad.test") }
}

const isHead = ({ type }: { type: number }) => type === FRAME.headers

const head = (id: number, flags: number, payload: Buffer) => frame(FRAME.headers, flags, id, payload)

/** A block in frames of the size that every peer takes (RFC 9113 section 4.2). */
function inFrames(id: number, flags: number, bytes: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 16_384) {
    const last = at + 16_384 >= bytes.length ? WHOLE : 0
    const piece = bytes.subarray(at, at + 16_384)
    pieces.push(at === 0 ? head(id, flags | last, piece) : frame(CONTINUATION, last, id, piece))
  }
  return Buffer.concat(pieces)
}

/** One field of 4,000 bytes for the dynamic table, then references to it: 4 kB each for a byte (RFC 7541 section 6). */
function bomb(references: number): Buffer {
  const name = Buffer.concat([Buffer.of(0x40, 1), Buffer.from("x")])
  // 4,000 is 127 and 3,873 in groups of seven bits (section 5.1).
  const value = Buffer.concat([Buffer.of(0x7f, (3_873 & 0x7f) | 0x80, 3_873 >> 7), Buffer.alloc(4_000, "a")])
  return Buffer.concat([name, value, Buffer.alloc(references, 0x80 | 62)])
}

const manyFields = (count: number) => block(Array.from({ length: count }, (_, index) => [`x-${index}`, "v"] as const))

const answered = (rest: (id: number) => Buffer): Script => {
  return (socket, id) => void socket.write(Buffer.concat([head(id, WHOLE, OK), rest(id)]))
}

const HARM: Readonly<Record<string, Script>> = {
  "PUSH_PROMISE before the head": (socket, id) =>
    void socket.write(frame(PUSH_PROMISE, WHOLE, id, Buffer.concat([words(2), block([[":method", "GET"]])]))),
  "a head of 2,000 fields": (socket, id) =>
    void socket.write(inFrames(id, END, Buffer.concat([OK, manyFields(2_000)]))),
  "a head of 100 kB": (socket, id) =>
    void socket.write(
      inFrames(id, END, Buffer.concat([OK, ...Array.from({ length: 1_000 }, () => block([["x", "v".repeat(100)]]))])),
    ),
  "an HPACK bomb of 40 MB": (socket, id) => void socket.write(inFrames(id, END, Buffer.concat([OK, bomb(10_000)]))),
  "CONTINUATION without end": (socket, id) => {
    socket.write(head(id, 0, OK))
    const more = () => {
      if (socket.destroyed) return
      socket.write(frame(CONTINUATION, 0, id, manyFields(100)))
      setImmediate(more)
    }
    more()
  },
  "CONTINUATION that is empty, without end": (socket, id) => {
    socket.write(head(id, 0, OK))
    const empty = Buffer.concat(Array.from({ length: 1_000 }, () => frame(CONTINUATION, 0, id)))
    const more = () => {
      if (socket.destroyed) return
      if (socket.write(empty)) setImmediate(more)
      else socket.once("drain", more)
    }
    more()
  },
  "a table that is larger than agreed": (socket, id) =>
    void socket.write(head(id, END | WHOLE, Buffer.of(0x3f, 0xe1, 0xff, 0x7f, 0x88))),
  "a reference to nothing": (socket, id) => void socket.write(head(id, END | WHOLE, Buffer.of(0xff, 0xff, 0x7f))),
  "DATA before the head": (socket, id) => void socket.write(frame(FRAME.data, 0, id, Buffer.from("x"))),
  "a window that overflows": (socket) => void socket.write(frame(FRAME.windowUpdate, 0, 0, words(0x7fffffff))),
  "a stream that nobody opened": (socket, id) => void socket.write(head(id + 1, END | WHOLE, OK)),
}

for (const [what, script] of Object.entries(HARM)) {
  test(`${what}: the answer is 502 or 504, and another server's requests go on`, async (t) => {
    globalThis.gc?.()
    const before = process.memoryUsage().rss
    const { bad, good } = await world(t, script)
    for (let round = 0; round < 3; round++) {
      const { status } = await bad()
      t.ok(status === 502 || status === 504, `${status}`)
      t.equal(await good(), "good")
    }
    t.ok(process.memoryUsage().rss - before < 200 * MB)
  })
}

const CUT: Readonly<Record<string, Script>> = {
  "PUSH_PROMISE behind the head": answered((id) =>
    frame(PUSH_PROMISE, WHOLE, id, Buffer.concat([words(2), block([[":method", "GET"]])])),
  ),
  "trailers of 2,000 fields": answered((id) => inFrames(id, END, manyFields(2_000))),
  "trailers that are an HPACK bomb": answered((id) => inFrames(id, END, bomb(10_000))),
  "trailers with a status": answered((id) => head(id, END | WHOLE, OK)),
}

for (const [what, script] of Object.entries(CUT)) {
  test(`${what}: the answer is cut, and another server's requests go on`, async (t) => {
    const { bad, good } = await world(t, script)
    for (let round = 0; round < 3; round++) {
      const { code, status } = await bad()
      t.ok(code !== 0 || status >= 500, `${status}, code ${code}`)
      t.equal(await good(), "good")
    }
  })
}

test("a server that takes no streams at all: every request fails, and its connections go", async (t) => {
  const none = frame(FRAME.settings, 0, 0, setting(3, 0))
  const { bad, good, origin } = await world(t, () => {}, none, 2)
  for (let round = 0; round < 5; round++) {
    const { status, text } = await bad()
    t.ok(status === 502 || status === 504)
    t.match(text, "takes no requests")
  }
  await eventually(() => origin.connections.every(({ socket }) => socket.destroyed))
  t.equal(await good(), "good")
})

test("a server that takes no streams once it has one: requests wait for a time that the clock bounds", async (t) => {
  const none = frame(FRAME.settings, 0, 0, setting(3, 0))
  const ping = frame(FRAME.ping, 0, 0, Buffer.alloc(8)).subarray(0, 9)
  const script: Script = (socket) => {
    socket.write(none)
    // It is alive: its connections do not end by that.
    socket.on("data", (bytes: Buffer) => {
      const at = bytes.indexOf(ping)
      if (at >= 0) socket.write(frame(FRAME.ping, 1, 0, bytes.subarray(at + 9, at + 17)))
    })
  }
  const { ask, good, requests, proxy } = await world(t, script, frame(FRAME.settings, 0, 0, setting(3, 1)), 2)
  const statuses: number[] = []
  for (let count = 0; count < 4; count++) void ask().then(({ status }) => statuses.push(status))
  await eventually(() => requests() === 2)
  await eventually(() => {
    proxy.clock.advance(1_000)
    return statuses.length === 4
  })
  for (const status of statuses) t.ok(status === 502 || status === 504)
  t.equal(await good(), "good")
})

test("GOAWAY on each connection: a request is sent twice at most", async (t) => {
  let requests = 0
  const { bad, good } = await world(t, (socket) => {
    requests++
    socket.write(frame(FRAME.goaway, 0, 0, words(0, 0)))
  })
  for (let round = 1; round <= 3; round++) {
    t.equal((await bad()).status, 502)
    t.equal(requests, round * 2)
  }
  t.equal(await good(), "good")
})

test("GOAWAY before any request: nothing is sent, and no connection follows another without end", async (t) => {
  let requests = 0
  const first = Buffer.concat([frame(FRAME.settings, 0, 0), frame(FRAME.goaway, 0, 0, words(0, 0))])
  const { bad, good, origin } = await world(t, () => void requests++, first, 2)
  for (let round = 1; round <= 5; round++) {
    t.equal((await bad()).status, 502)
    t.ok(origin.connections.length <= round * 2, `${origin.connections.length} connections`)
  }
  t.equal(requests, 0)
  t.equal(await good(), "good")
})
