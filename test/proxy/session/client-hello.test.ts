import { PassThrough } from "node:stream"
import { connect as connectTls } from "node:tls"
import { test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { readHello, wholeHello } from "../../../lib/proxy/session/client-hello.ts"
import { everySplit } from "../../../lib/testing/every-split.ts"

/** The bytes with which Node begins a handshake. */
function helloOf(options: { servername?: string; ALPNProtocols?: string[]; maxVersion?: "TLSv1.2" }): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new PassThrough()
    wire._write = (chunk: Buffer, _encoding, done) => {
      done()
      resolve(chunk)
    }
    connectTls({ ...options, socket: wire }).on("error", () => {})
  })
}

/** The same message with an extension as long as a post-quantum key share, so that it needs several segments. */
function enlarged(hello: Buffer, extra: number): Buffer {
  const message = hello.subarray(5)
  const sessionEnd = 4 + 34 + 1 + (message[38] ?? 0)
  const ciphersEnd = sessionEnd + 2 + message.readUInt16BE(sessionEnd)
  const extensionsAt = ciphersEnd + 1 + (message[ciphersEnd] ?? 0)
  const extension = Buffer.concat([Buffer.from([0xfe, 0x0d, extra >> 8, extra & 0xff]), Buffer.alloc(extra, 7)])
  const extensions = Buffer.concat([message.subarray(extensionsAt + 2), extension])
  const lengths = Buffer.alloc(2)
  lengths.writeUInt16BE(extensions.length)
  const body = Buffer.concat([message.subarray(4, extensionsAt), lengths, extensions])
  const header = Buffer.from([1, 0, body.length >> 8, body.length & 0xff])
  return records(Buffer.concat([header, body]), 16_384)
}

/** A handshake message in records of at most `size` bytes. */
function records(message: Buffer, size: number): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < message.length; at += size) {
    const piece = message.subarray(at, at + size)
    pieces.push(Buffer.from([0x16, 3, 1, piece.length >> 8, piece.length & 0xff]), piece)
  }
  return Buffer.concat(pieces)
}

test("name and protocols are read, in the client's order", async (t) => {
  const cases = [
    [
      { servername: "api.test", ALPNProtocols: ["h2", "http/1.1"] },
      { sni: "api.test", alpn: ["h2", "http/1.1"] },
    ],
    [{}, { sni: undefined, alpn: [] }],
    [
      { servername: "a.test", maxVersion: "TLSv1.2" },
      { sni: "a.test", alpn: [] },
    ],
  ] as const
  for (const [options, expected] of cases) {
    const hello = await helloOf({
      ...options,
      ALPNProtocols: [...("ALPNProtocols" in options ? options.ALPNProtocols : [])],
    })
    const record = wholeHello(hello)
    t.ok(record)
    t.same(await readHello(record ?? hello), expected)
  }
})

test("a hello as long as post-quantum ones is whole at its last byte, at every split", async (t) => {
  const hello = enlarged(await helloOf({ servername: "pq.test" }), 1_800)
  t.ok(hello.length > 1_800)
  let early = 0
  for (const [before, after] of everySplit(hello)) {
    if (after.length > 0 && wholeHello(before) !== undefined) early++
    if (wholeHello(Buffer.concat([before, after])) === undefined) t.fail(`cut at ${before.length}`)
  }
  t.equal(early, 0)
  t.match(await readHello(wholeHello(hello) ?? hello), { sni: "pq.test" })
})

test("a hello in many records is one hello, and what follows it is not part of it", async (t) => {
  const hello = await helloOf({ servername: "a.test" })
  for (const size of [1, 3, 4, 5, 100]) {
    const bytes = Buffer.concat([records(hello.subarray(5), size), Buffer.from([0x17, 3, 3, 0, 1, 0])])
    const record = wholeHello(bytes)
    t.equal(record?.length, hello.length, `records of ${size}`)
    t.match(await readHello(record ?? bytes), { sni: "a.test" })
  }
})

test("what is no ClientHello is refused as soon as that can be told", (t) => {
  const cases: readonly [number[], RegExp][] = [
    [[0x16, 3, 1, 0, 4, 2, 0, 0, 0], /no ClientHello/],
    [[0x16, 3, 1, 0, 0], /a record is empty/],
    [[0x16, 3, 1, 0, 2, 1, 0, 0x17, 3, 3, 0, 1], /no handshake record/],
    [[0x16, 3, 1, 0, 4, 1, 0, 0x40, 1], /exceeds 16384 bytes/],
  ]
  for (const [bytes, message] of cases) t.throws(() => wholeHello(Buffer.from(bytes)), { message })
  t.equal(wholeHello(Buffer.alloc(0)), undefined)
  t.equal(wholeHello(Buffer.from([0x16, 3, 1, 0])), undefined)
  t.end()
})

test("a handshake in too many bytes of framing is refused", (t) => {
  // Five bytes of header for each byte of a hello that never ends.
  const bytes = records(Buffer.concat([Buffer.from([1, 0, 0x40, 0]), Buffer.alloc(10_000)]), 1)
  t.throws(() => wholeHello(bytes), { message: /exceeds/ })
  t.end()
})

test("a hello that lies about its inside is a FlowError", async (t) => {
  const hello = await helloOf({ servername: "a.test" })
  for (const at of [4 + 5 + 34, 60, 100]) {
    const broken = Buffer.from(hello)
    broken[at] = 0xff
    const record = wholeHello(broken) ?? broken
    const result = await readHello(record).catch((thrown: unknown) => thrown)
    if (result instanceof Error) t.ok(result instanceof FlowError && result.code === "bad-client-hello")
  }
  const empty = Buffer.from([0x16, 3, 1, 0, 8, 1, 0, 0, 4, 3, 3, 0, 0])
  await t.rejects(readHello(empty), { code: "bad-client-hello" })
})
