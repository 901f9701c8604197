/** The messages of SOCKS5, whole, in two pieces and broken. */
import { type Test, test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import type { Read } from "../../../lib/proxy/socks/handshake-reader.ts"
import {
  credentialsReply,
  methodReply,
  readCredentials,
  readGreeting,
  readRequest,
  replyFor,
  requestReply,
  SocksRefusal,
} from "../../../lib/proxy/socks/wire.ts"

/** A request for `address` (type, then its bytes) and port 443. */
const request = (address: readonly number[], command = 1) => Buffer.from([5, command, 0, ...address, 1, 0xbb])
const name = (text: string) => [3, text.length, ...Buffer.from(text)]
const V6 = [4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]

/** Nothing until the last byte, then `value` and no byte more. */
function readsAs<T>(t: Test, read: (bytes: Buffer) => Read<T> | undefined, bytes: Buffer, value: T): void {
  const wrong = Array.from({ length: bytes.length }, (_, size) => size).filter(
    (size) => read(bytes.subarray(0, size)) !== undefined,
  )
  t.strictSame(wrong, [], "no piece of it is taken for the whole")
  t.strictSame(read(bytes), { value, size: bytes.length })
  t.strictSame(read(Buffer.concat([bytes, Buffer.from("GET")])), { value, size: bytes.length })
}

test("each message is read once it is whole, and not a byte beyond", async (t) => {
  readsAs(t, readGreeting, Buffer.from([5, 2, 0, 2]), [0, 2])
  readsAs(t, readGreeting, Buffer.from([5, 0]), [])
  const long = "x".repeat(255)
  for (const [user, password] of [
    ["me", "pä:ss"],
    ["", ""],
    [long, long],
  ] as const) {
    const [a, b] = [Buffer.from(user), Buffer.from(password)]
    const bytes = Buffer.from([1, a.length, ...a, b.length, ...b])
    readsAs(t, readCredentials, bytes, { user, password })
  }
  readsAs(t, readRequest, request([1, 10, 0, 0, 1]), { host: "10.0.0.1", port: 443 })
  readsAs(t, readRequest, request(V6), { host: "2001:db8::1", port: 443 })
  readsAs(t, readRequest, request(name("API.openai.com.")), { host: "api.openai.com", port: 443 })
  readsAs(t, readRequest, request(name("10.0.0.1")), { host: "10.0.0.1", port: 443 })
  readsAs(t, readRequest, request(name("[::1]")), { host: "::1", port: 443 })
  readsAs(t, readRequest, request(name("::ffff:127.0.0.1")), { host: "127.0.0.1", port: 443 })
})

test("a request that cannot be met has the reply that says why", async (t) => {
  const mapped = [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]
  t.strictSame(readRequest(request(mapped))?.value.host, "127.0.0.1", "an address has one spelling")
  for (const [bytes, reply, message] of [
    [request([1, 10, 0, 0, 1], 2), 7, /BIND is not supported/],
    [request(name("h"), 3), 7, /UDP ASSOCIATE is not supported/],
    [request(name("h"), 9), 7, /command 9 is not supported/],
    [Buffer.from([5, 1, 0, 2]), 8, /address type 2 is not supported/],
    [request(name("a b")), 1, /host or the port/],
    [request(name("")), 1, /host or the port/],
    [request(name("h\r\nX: y")), 1, /host or the port/],
    [Buffer.from([5, 1, 0, 1, 10, 0, 0, 1, 0, 0]), 1, /host or the port/],
  ] as const) {
    try {
      readRequest(bytes)
      t.fail(bytes.toString("hex"))
    } catch (thrown) {
      t.type(thrown, SocksRefusal)
      t.match(thrown, { reply, message })
    }
  }
})

test("bytes of another protocol are told by the first of them", async (t) => {
  for (const [bytes, message] of [
    ["\x04\x01", /speaks SOCKS4; set the client to SOCKS5/],
    ["\x16\x03", /begins TLS/],
    ["CONNECT", /speaks HTTP; give it a listener of --mode regular/],
    ["\x00", /begins with byte 0/],
  ] as const)
    t.throws(() => readGreeting(Buffer.from(bytes, "latin1")), { code: "not-socks", message })
  t.throws(() => readCredentials(Buffer.from([5])), { code: "bad-socks" })
  t.throws(() => readRequest(Buffer.from([4])), { code: "bad-socks" })
})

test("what is written is what RFC 1928 and RFC 1929 say", async (t) => {
  t.same(methodReply(2), Buffer.from([5, 2]))
  t.same(methodReply(undefined), Buffer.from([5, 0xff]))
  t.same(credentialsReply(true), Buffer.from([1, 0]))
  t.same(credentialsReply(false), Buffer.from([1, 1]))
  t.same(requestReply(4), Buffer.from([5, 4, 0, 1, 0, 0, 0, 0, 0, 0]))
})

test("a failure of ours has the nearest reply", async (t) => {
  for (const [code, reply] of [
    ["loop", 2],
    ["unreachable", 3],
    ["name-not-found", 4],
    ["connect-timeout", 4],
    ["connection-refused", 5],
    ["tls-failed", 1],
  ] as const)
    t.equal(replyFor(new FlowError("upstream", code, "")), reply, code)
  t.equal(replyFor(new SocksRefusal(7, "x", "")), 7)
})
