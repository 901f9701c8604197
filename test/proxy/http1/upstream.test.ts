import { test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { Headers } from "../../../lib/base/headers.ts"
import { DEFAULT_HEAD_LIMITS } from "../../../lib/http1/message.ts"
import { Http1Upstream } from "../../../lib/proxy/http1/upstream.ts"
import type { Http1UpstreamStream } from "../../../lib/proxy/http1/upstream-stream.ts"
import { everySplit } from "../../../lib/testing/every-split.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { duplexPair } from "../../helpers/wire/duplex-pair.ts"

const INFO = {
  id: 1,
  host: "2001:db8::1",
  port: 443,
  connectTo: undefined,
  address: "2001:db8::1",
  tls: undefined,
}

function connection() {
  const [near, far] = duplexPair()
  const clock = new ManualClock()
  const told: string[] = []
  let seen = ""
  far.on("data", (bytes) => {
    seen += bytes.toString("latin1")
  })
  const server = new Http1Upstream(near, INFO, {
    clock,
    head: DEFAULT_HEAD_LIMITS,
    stallTimeoutMs: 10_000,
    onIdle: () => told.push("idle"),
    onClosed: () => told.push("closed"),
  })
  return { near, far, clock, told, server, seen: () => seen }
}

function get(
  stream: Http1UpstreamStream,
  options: { upgrade?: string; hasBody?: boolean; length?: number } = {},
): void {
  const head = { method: "GET", path: "/", authority: "a.test", headers: new Headers(), upgrade: options.upgrade }
  stream.send(head, { length: options.length ?? (options.hasBody ? undefined : 0), hasBody: options.hasBody ?? false })
}

async function bodyOf(stream: Http1UpstreamStream): Promise<string> {
  let text = ""
  for (let piece = await stream.body.read(); piece !== undefined; piece = await stream.body.read()) text += piece
  return text
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test("an answer is the same, however the network cuts it", async (t) => {
  const answer =
    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 Fine\r\nA: 1\r\nTransfer-Encoding: chunked\r\n\r\n" +
    "3\r\nabc\r\n2\r\nde\r\n0\r\nSum: 9\r\n\r\n"
  for (const [before, after] of everySplit(Buffer.from(answer))) {
    const { far, server, told } = connection()
    const stream = server.open()
    const informed: number[] = []
    stream.onInform((head) => informed.push(head.status))
    get(stream)
    if (before.length > 0) far.write(before)
    await turn()
    if (after.length > 0) far.write(after)
    const head = await stream.head()
    t.match([head.status, head.reason, head.headers.get("a")], [200, "Fine", "1"])
    if ((await bodyOf(stream)) !== "abcde" || stream.trailers?.get("sum") !== "9") t.fail(`cut at ${before.length}`)
    if (told.join() !== "idle" || informed.join() !== "103") t.fail(`cut at ${before.length}: ${told} ${informed}`)
  }
})

test("what may have been acted on is told", async (t) => {
  const { far, server } = connection()
  const stream = server.open()
  t.equal(stream.processed, "no")
  get(stream)
  t.equal(stream.processed, "maybe")
  far.write("H")
  await turn()
  t.equal(stream.processed, "yes")
  t.throws(() => stream.body, /not there before the head/)
})

test("a cut is told with what was wrong, before and inside the answer", async (t) => {
  for (const [bytes, how, message] of [
    ["", "end", /ended inside the message|closed the connection/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "end", /ended inside the message|closed the connection/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "destroy", /\[2001:db8::1\]:443 closed the connection before/],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "error", /\[2001:db8::1\]:443 broke the connection: odd/],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", "none", /refused/],
  ] as const) {
    const { near, far, server, told } = connection()
    const stream = server.open()
    get(stream)
    if (bytes !== "") far.write(bytes)
    await turn()
    if (how === "end") far.end()
    else if (how === "destroy") near.destroy()
    else if (how === "error") near.destroy(new Error("odd"))
    const failure = await stream
      .head()
      .then(() => bodyOf(stream))
      .catch((thrown: unknown) => thrown)
    t.ok(failure instanceof FlowError)
    t.match(String(failure), message)
    t.same(told, ["closed"])
    t.equal(server.closed, true)
    if (bytes === "") await t.rejects(stream.head())
    else await t.rejects(stream.body.read())
  }
})

test("an answer that is whole before the request ends the connection, and late bytes are dropped", async (t) => {
  const { far, server, told, seen } = connection()
  const stream = server.open()
  get(stream, { hasBody: true })
  stream.write(Buffer.from("abc"))
  await turn()
  far.write("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
  t.equal((await stream.head()).status, 413)
  t.equal(await bodyOf(stream), "")
  t.same(told, ["closed"])
  t.equal(stream.write(Buffer.from("more")), true)
  stream.end()
  stream.abort(new FlowError("client", "x", "y"))
  stream.fail(new FlowError("client", "x", "y"))
  await turn()
  t.match(seen(), /Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n$/)
})

test("an aborted exchange closes the connection and fails its readers", async (t) => {
  const { far, near, server, told } = connection()
  const stream = server.open()
  get(stream)
  far.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
  await stream.head()
  stream.abort(new FlowError("client", "client-gone", "left"))
  t.equal(String(await stream.body.read()), "ab")
  await t.rejects(stream.body.read(), { code: "client-gone" })
  t.equal(near.destroyed, true)
  t.same(told, ["closed"])
})

test("a reader that stalls is told apart from an upstream that does", async (t) => {
  const stalled = connection()
  const first = stalled.server.open()
  get(first)
  const head = first.head()
  stalled.clock.advance(10_000)
  await t.rejects(head, { status: 504, message: "[2001:db8::1]:443 sent nothing for 10 s (stallTimeoutMs)" })
  const reading = connection()
  const second = reading.server.open()
  get(second)
  reading.far.write("HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n")
  reading.far.write(Buffer.alloc(300_000))
  await second.head()
  await turn()
  t.equal(second.full, true)
  reading.clock.advance(10_000)
  const failure = await bodyOf(second).catch((thrown: unknown) => thrown)
  t.match(failure, { source: "client", code: "stall-timeout", message: /the client read nothing of the answer/ })
})

test("writing a request counts as movement", async (t) => {
  const { clock, server } = connection()
  const stream = server.open()
  get(stream, { hasBody: true })
  for (let count = 0; count < 5; count++) {
    clock.advance(9_999)
    stream.write(Buffer.from("x"))
  }
  await stream.ready()
  t.equal(server.closed, false)
  clock.advance(10_000)
  t.equal(server.closed, true)
})

test("a connection without a request is closed by whatever comes on it", async (t) => {
  for (const what of ["bytes", "end"]) {
    const { far, server, told } = connection()
    server.socket.resume()
    if (what === "bytes") far.write("HTTP/1.1 200 OK\r\n\r\n")
    else far.end()
    await turn()
    await turn()
    t.equal(server.closed, true, what)
    t.same(told, ["closed"])
    server.bodyWanted()
  }
})

test("after a 101 the bytes behind it are the tunnel's, and the connection counts until it closes", async (t) => {
  const { near, far, server, told, clock } = connection()
  const stream = server.open()
  get(stream, { upgrade: "x" })
  far.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nfirst")
  t.equal((await stream.head()).status, 101)
  const tunnel = stream.tunnel()
  t.equal(tunnel, near)
  t.equal(clock.pending, 0)
  const bytes = await new Promise((resolve) => tunnel.once("data", resolve).resume())
  t.equal(String(bytes), "first")
  t.same(told, [])
  tunnel.destroy()
  await turn()
  t.same(told, ["closed"])
})
