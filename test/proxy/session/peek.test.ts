import { test } from "tap"
import { classify, type Peeked, peek } from "../../../lib/proxy/session/peek.ts"
import { everySplit } from "../../../lib/testing/every-split.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { duplexPair } from "../../helpers/wire/duplex-pair.ts"

const turn = () => new Promise((resolve) => setImmediate(resolve))

function kindOf(text: string): Peeked["kind"] | undefined {
  return classify(Buffer.from(text, "latin1"))?.kind
}

test("the first bytes tell what is spoken", (t) => {
  const cases: readonly [string, Peeked["kind"] | undefined][] = [
    ["GET / HTTP/1.1\r\n", "http"],
    ["\r\n\r\nGET / HTTP/1.1\r\n", "http"],
    ["get http://a.test/ HTTP/1.0\n", "http"],
    ["M-SEARCH * HTTP/1.1\r\n", "http"],
    ["GET / HTTP/1.1", undefined],
    ["GET", undefined],
    ["", undefined],
    ["\r\n", undefined],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"],
    ["PRI * HTTP/2.0\r", "http2"],
    ["PRI * HTTP/2.0", undefined],
    ["PRI * HTTP/2.1\r\n", "opaque"],
    ["SSH-2.0-OpenSSH\r\n", "opaque"],
    ["EHLO mail.test\r\n", "opaque"],
    ["GET /\r\n", "opaque"],
    ["\x00\x01", "opaque"],
    ["\x05\x01\x00", "opaque"],
    ["x".repeat(33), "opaque"],
    ["\x16\x01", "opaque"],
    ["\x16", undefined],
    ["\x16\x03\x01\x00\x00", "closed"],
    [`GET /${"a".repeat(20_000)}`, "http"],
    [`POST http://a.test/${"a".repeat(20_000)}`, "http"],
    [`EHLO ${"a".repeat(20_000)}`, "opaque"],
    ["\r\n".repeat(9_000), "opaque"],
  ]
  for (const [text, kind] of cases) t.equal(kindOf(text), kind, JSON.stringify(text.slice(0, 40)))
  t.end()
})

test("no split changes what is told", async (t) => {
  for (const text of ["GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-x\r\n"]) {
    const whole = kindOf(text)
    for (const [before, after] of everySplit(Buffer.from(text))) {
      const [near, far] = duplexPair()
      const peeking = peek(near, { clock: new ManualClock(), timeoutMs: 1_000 })
      if (before.length > 0) far.write(before)
      await turn()
      if (after.length > 0) far.write(after)
      t.equal((await peeking).kind, whole, `${text} cut at ${before.length}`)
    }
  }
})

test("HTTP bytes are handed over, other bytes are back in the socket, which is paused", async (t) => {
  for (const text of ["GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n"]) {
    const clock = new ManualClock()
    const [near, far] = duplexPair()
    const peeking = peek(near, { clock, timeoutMs: 1_000, silentMs: 300 })
    far.write(text)
    const peeked = await peeking
    t.equal(near.isPaused(), true)
    if (peeked.kind === "http") t.equal(peeked.bytes.toString(), text)
    else t.equal(String(near.read()), text)
    t.equal(clock.pending, 0)
    t.equal(near.listenerCount("data"), 0)
  }
})

test("silence is told only while nothing at all has come", async (t) => {
  const clock = new ManualClock()
  const [silent] = duplexPair()
  const peeking = peek(silent, { clock, timeoutMs: 1_000, silentMs: 300 })
  clock.advance(300)
  t.equal((await peeking).kind, "silent")
  const [near, far] = duplexPair()
  const slow = peek(near, { clock, timeoutMs: 1_000, silentMs: 300 })
  far.write("GE")
  await turn()
  clock.advance(999)
  await turn()
  clock.advance(1)
  t.match(await slow, { kind: "closed", why: /not whole within 1000 ms/ })
  t.equal(clock.pending, 0)
})

test("a client that has left already is closed, and no timer is made", async (t) => {
  const clock = new ManualClock()
  const [gone] = duplexPair()
  gone.destroy()
  t.match(await peek(gone, { clock, timeoutMs: 1_000, silentMs: 300 }), { kind: "closed" })
  t.equal(clock.made, 0)
})

test("a client that leaves before it has said anything whole is closed", async (t) => {
  for (const leave of ["end", "destroy"] as const) {
    for (const said of ["", "GET "]) {
      const [near, far] = duplexPair()
      near.on("error", (thrown) => t.fail(thrown.message))
      const peeking = peek(near, { clock: new ManualClock(), timeoutMs: 1_000 })
      if (said !== "") far.write(said)
      await turn()
      if (leave === "end") far.end()
      else near.destroy()
      t.match(await peeking, { kind: "closed", why: "the client closed the connection" })
      await turn()
    }
  }
})
