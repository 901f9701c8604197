import assert from "node:assert/strict"
import zlib from "node:zlib"
import { test } from "tap"
import { ContentDecoder, codingsOf, decodeContent } from "../../../lib/proxy/body/content-coding.ts"
import { everySplit } from "../../../lib/testing/every-split.ts"

const TEXT = Buffer.from("data: é one\n\ndata: two two two two two\n\n".repeat(3))

const zstd: unknown = Reflect.get(zlib, "zstdCompressSync")
const CODINGS: [string, (bytes: Buffer) => Buffer][] = [
  ["gzip", (bytes) => zlib.gzipSync(bytes)],
  ["x-gzip", (bytes) => zlib.gzipSync(bytes)],
  ["GZip ", (bytes) => zlib.gzipSync(bytes)],
  ["deflate", (bytes) => zlib.deflateSync(bytes)],
  ["deflate", (bytes) => zlib.deflateRawSync(bytes)],
  ["br", (bytes) => zlib.brotliCompressSync(bytes)],
]
if (typeof zstd === "function") CODINGS.push(["zstd", (bytes) => Buffer.from(Reflect.apply(zstd, zlib, [bytes]))])

async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = []
  for await (const piece of pieces) all.push(piece)
  return Buffer.concat(all)
}

function decoder(coding: string): ContentDecoder {
  const made = ContentDecoder.for(coding)
  assert.ok(made)
  return made
}

for (const [coding, encode] of CODINGS) {
  test(`${coding} decodes the same however it is cut`, async () => {
    const encoded = encode(TEXT)
    assert.deepEqual(await decodeContent(encoded, coding, 10_000), TEXT)
    for (const [before, after] of everySplit(encoded)) {
      const one = decoder(coding)
      const pieces = [await collect(one.feed(before)), await collect(one.feed(after)), await collect(one.finish())]
      assert.deepEqual(Buffer.concat(pieces), TEXT, `cut at byte ${before.length}`)
      one.close()
    }
  })

  test(`${coding} that breaks off is an error, not a short body`, async () => {
    const encoded = encode(TEXT)
    await assert.rejects(decodeContent(encoded.subarray(0, -9), coding, 10_000), { code: "bad-encoding" })
  })
}

test("identity, nothing, an empty field and what is no coding leave a body as it is", async () => {
  const names = ["none", "None", "utf-8", "UTF-8", "utf8", "binary", "8bit", "us-ascii", "chunked", "none, utf-8"]
  for (const coding of [undefined, "", "identity", " , identity", ...names]) {
    assert.equal(ContentDecoder.for(coding), undefined)
    assert.equal(await decodeContent(TEXT, coding, 1), TEXT)
  }
  assert.deepEqual(codingsOf("gzip, br, identity"), ["br", "gzip"])
})

test("an answer that was never coded is read, whatever mark its label promises", async () => {
  const bom = Buffer.from("\uFEFF")
  const plain = ['{"a":1}', "[1]", "data: a\n\n", "event: b\n", "id: 1\n", "retry: 5\n", ": c\n\n", "\n{}", `${bom}{}`]
  const marked = typeof zstd === "function" ? ["gzip", "x-gzip", "zstd"] : ["gzip", "x-gzip"]
  for (const coding of [...marked, "gzip, utf-8"]) {
    for (const text of plain) {
      const bytes = Buffer.from(text)
      assert.deepEqual(await decodeContent(bytes, coding, 100), bytes, `${coding} ${text}`)
      for (const [before, after] of everySplit(bytes)) {
        const one = decoder(coding)
        const pieces = [await collect(one.feed(before)), await collect(one.feed(after)), await collect(one.finish())]
        assert.deepEqual(Buffer.concat(pieces), bytes, `${coding}, cut at byte ${before.length}`)
        one.close()
      }
      await assert.rejects(decodeContent(bytes, coding, 1), { code: "decoded-too-large" })
    }
    await assert.rejects(decodeContent(Buffer.from("no coding"), coding, 100), { code: "bad-encoding" })
  }
})

test("an unknown coding and a chain of codings are refused by name", async () => {
  for (const coding of ["compress", "gzip, br"]) {
    assert.throws(() => ContentDecoder.for(coding), { code: "unknown-encoding", message: /Content-Encoding / })
    await assert.rejects(decodeContent(TEXT, coding, 1), { code: "unknown-encoding" })
  }
})

test("broken bytes are an error, and the decoder stays broken", async () => {
  const one = decoder("gzip")
  await assert.rejects(collect(one.feed(Buffer.from("this is no gzip"))), { code: "bad-encoding", source: "upstream" })
  await assert.rejects(collect(one.feed(zlib.gzipSync(TEXT))), { code: "bad-encoding" })
  one.close()
})

test("a body of nothing at all is nothing, whatever its coding says", async () => {
  for (const coding of ["gzip", "deflate", "br"])
    assert.equal((await decodeContent(Buffer.alloc(0), coding, 10)).length, 0)
})

test("a bomb is made only as far as it is read, and not beyond the limit", async () => {
  const bomb = zlib.brotliCompressSync(Buffer.alloc(200_000_000), {
    params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 },
  })
  await assert.rejects(decodeContent(bomb, "br", 1_000_000), { code: "decoded-too-large", status: 413 })
  const one = decoder("br")
  const before = process.memoryUsage().arrayBuffers
  let read = 0
  for await (const piece of one.feed(bomb)) {
    read += piece.length
    if (read > 1_000_000) break
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 50_000_000)
  one.close()
})
