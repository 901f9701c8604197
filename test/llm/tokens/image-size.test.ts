import { test } from "tap"
import { imageSize } from "../../../lib/llm/tokens/image-size.ts"

const u16 = (value: number): number[] => [value >> 8, value & 255]
const u16le = (value: number): number[] => [value & 255, value >> 8]
const u24le = (value: number): number[] => [value & 255, (value >> 8) & 255, value >> 16]
const ascii = (text: string): number[] => [...Buffer.from(text, "latin1")]

export function png(width: number, height: number): Buffer {
  return Buffer.from([
    ...ascii("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0"),
    ...u16(width),
    0,
    0,
    ...u16(height),
    8,
    6,
    0,
    0,
    0,
  ])
}

const WEBP = [...ascii("RIFF"), 0, 0, 0, 0]
const IMAGES: Record<string, Buffer> = {
  png: png(640, 480),
  gif87: Buffer.from([...ascii("GIF87a"), ...u16le(640), ...u16le(480), 0, 0, 0]),
  gif89: Buffer.from([...ascii("GIF89a"), ...u16le(640), ...u16le(480), 0, 0, 0]),
  jpeg: Buffer.from([
    ...[0xff, 0xd8, 0xff, 0xe0, ...u16(16), ...ascii("JFIF\0"), 1, 1, 0, 0, 1, 0, 1, 0, 0],
    ...[0xff, 0xc4, ...u16(5), 1, 2, 3, 0xff, 0xff, 0xdb, ...u16(4), 9, 9],
    ...[0xff, 0xc2, ...u16(17), 8, ...u16(480), ...u16(640), 3, 1, 0x22, 0],
  ]),
  "webp lossy": Buffer.from([
    ...[...WEBP, ...ascii("WEBPVP8 "), 0, 0, 0, 0, 0, 0, 0, 0x9d, 1, 0x2a],
    ...[...u16le(640 | 0x4000), ...u16le(480)],
  ]),
  "webp lossless": Buffer.from([
    ...[...WEBP, ...ascii("WEBPVP8L"), 0, 0, 0, 0, 0x2f],
    ...[639 & 255, (639 >> 8) | ((479 & 3) << 6), (479 >> 2) & 255, 479 >> 10, 0, 0, 0, 0, 0],
  ]),
  "webp extended": Buffer.from([
    ...[...WEBP, ...ascii("WEBPVP8X"), 10, 0, 0, 0, 0, 0, 0, 0, ...u24le(639), ...u24le(479)],
  ]),
}

test("the size is read from the header of each format", (t) => {
  for (const [format, bytes] of Object.entries(IMAGES)) t.same(imageSize(bytes), { width: 640, height: 480 }, format)
  t.end()
})

test("a header cut anywhere gives no size or the right one, never an error", (t) => {
  for (const [format, bytes] of Object.entries(IMAGES)) {
    for (let end = 0; end < bytes.length; end++) {
      const size = imageSize(bytes.subarray(0, end))
      if (size !== undefined) t.same(size, { width: 640, height: 480 }, `${format} cut at ${end}`)
    }
  }
  t.end()
})

test("what is no image, or says zero, has no size", (t) => {
  t.equal(imageSize(Buffer.from("<svg width='3' height='4'/>".repeat(3))), undefined)
  t.equal(imageSize(Buffer.from([...WEBP, ...ascii("WAVEfmt "), ...Array(20).fill(1)])), undefined)
  t.equal(imageSize(png(0, 480)), undefined)
  t.equal(
    imageSize(Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 0, ...Array(64).fill(0)])),
    undefined,
    "a segment without length",
  )
  t.end()
})
