import { test } from "tap"
import { Pieces } from "../../lib/base/pieces.ts"

/** Bytes of memory that the pieces keep alive. */
function held(pieces: Pieces): number {
  const buffers = new Set(pieces.list.map(({ buffer }) => buffer))
  return [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)
}

test("what comes byte by byte waits in few pieces, whole and in order", (t) => {
  const pieces = new Pieces()
  const bytes = Buffer.from(Array.from({ length: 20_000 }, (_, index) => index % 251))
  for (let at = 0; at < bytes.length; at++) pieces.push(bytes.subarray(at, at + 1))
  t.equal(pieces.bytes, 20_000)
  t.equal(pieces.list.length, 15 + 5)
  t.ok(pieces.concat().equals(bytes))
  const back: Buffer[] = []
  for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) back.push(piece)
  t.ok(Buffer.concat(back).equals(bytes))
  t.equal(pieces.bytes, 0)
  t.end()
})

test("a piece keeps no buffer alive that is many times its size", (t) => {
  for (const size of [1, 700, 1_024, 5_000, 16_383]) {
    const pieces = new Pieces()
    for (let count = 0; count < 20; count++) pieces.push(Buffer.alloc(65_536).subarray(100, 100 + size))
    t.ok(held(pieces) <= 4 * pieces.bytes + 4_096, `${size}: ${held(pieces)} bytes for ${pieces.bytes}`)
  }
  t.end()
})

test("large pieces wait as they came, small ones beside them stay in order", (t) => {
  const pieces = new Pieces()
  const large = Buffer.alloc(5_000, "l")
  for (const piece of [large, Buffer.from("a"), Buffer.from(""), Buffer.from("b"), large, Buffer.from("c")])
    pieces.push(piece)
  t.equal(pieces.list[0], large)
  t.equal(pieces.concat().toString(), `${"l".repeat(5_000)}ab${"l".repeat(5_000)}c`)
  const single = new Pieces()
  single.push(large)
  t.equal(single.concat(), large)
  single.clear()
  t.equal(single.bytes, 0)
  t.equal(single.shift(), undefined)
  t.end()
})

test("a few pieces wait as they came", (t) => {
  const pieces = new Pieces()
  for (const text of "abcdefghijklmnop") pieces.push(Buffer.from(text))
  t.equal(pieces.list.length, 16)
  pieces.push(Buffer.from("q"))
  pieces.push(Buffer.from("r"))
  t.strictSame(
    pieces.list.map((piece) => piece.toString()),
    [..."abcdefghijklmno", "pqr"],
  )
  t.end()
})

test("a piece that was taken stays as it was while others come", (t) => {
  const pieces = new Pieces()
  const taken: Buffer[] = []
  let expected = ""
  for (let count = 0; count < 3_000; count++) {
    const text = String(count)
    expected += text
    pieces.push(Buffer.from(text))
    if (count % 7 === 0) taken.push(pieces.shift() ?? Buffer.alloc(0))
  }
  t.equal(Buffer.concat([...taken, ...pieces.list]).toString(), expected)
  t.end()
})

/** As many pieces as wait apart, so that what comes behind them may be copied together. */
function full(): Pieces {
  const pieces = new Pieces()
  for (let count = 0; count < 16; count++) pieces.push(Buffer.from("."))
  return pieces
}

test("behind the first pieces, one of a kilobyte stays apart, and one below it does not", (t) => {
  for (const [size, count] of [
    [1_023, 16],
    [1_024, 17],
  ] as const) {
    const pieces = full()
    pieces.push(Buffer.alloc(size))
    t.equal(pieces.list.length, count, `${size} bytes`)
  }
  t.end()
})

test("small pieces are copied together up to 4,096 bytes", (t) => {
  const pieces = full()
  for (let count = 1; count < 4_096; count++) pieces.push(Buffer.from("x"))
  t.strictSame([pieces.list.length, pieces.list.at(-1)?.length], [16, 4_096])
  pieces.push(Buffer.from("x"))
  t.strictSame([pieces.list.length, pieces.list.at(-1)?.length], [17, 1])
  t.end()
})

test("a view of a buffer four times its size stays a view, and one of a larger is copied", (t) => {
  const buffer = Buffer.alloc(4_096)
  const pieces = new Pieces()
  pieces.push(buffer.subarray(0, 1_024))
  pieces.push(buffer.subarray(0, 1_023))
  t.strictSame(
    pieces.list.map((piece) => piece.buffer === buffer.buffer),
    [true, false],
  )
  t.end()
})
