import { test } from "tap"
import { audioTokens, imageTokens } from "../../../lib/llm/tokens/media.ts"

function pngUrl(width: number, height: number): string {
  const bytes = Buffer.alloc(33)
  bytes.write("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "latin1")
  bytes.writeUInt32BE(width, 16)
  bytes.writeUInt32BE(height, 20)
  return `data:image/png;base64,${bytes.toString("base64")}`
}

test("tiles are counted as OpenAI's documents count them", (t) => {
  for (const [model, width, height, tokens] of [
    ["gpt-4o", 1024, 1024, 765],
    ["gpt-4o", 2048, 4096, 1105],
    ["gpt-4o", 4096, 8192, 1105],
    ["gpt-4o", 512, 512, 255],
    ["gpt-4o", 16, 16, 255],
    ["gpt-4.1", 1024, 1024, 765],
    ["gpt-4o-mini", 512, 512, 8500],
    ["gpt-5", 1024, 1024, 630],
    ["o1", 1024, 1024, 675],
    ["llava-1.6", 1024, 1024, 765],
  ] as const) {
    t.equal(imageTokens(model, pngUrl(width, height), "high"), tokens, `${model} ${width}x${height}`)
  }
  t.end()
})

test("low detail costs the base alone", (t) => {
  t.equal(imageTokens("gpt-4o", pngUrl(4096, 4096), "low"), 85)
  t.equal(imageTokens("gpt-4o-mini", "https://example.com/a.png", "low"), 2833)
  t.end()
})

test("patches are counted as OpenAI's documents count them, for any detail", (t) => {
  for (const [model, width, height, tokens] of [
    ["gpt-4.1-mini", 1024, 1024, Math.ceil(1024 * 1.62)],
    ["gpt-4.1-mini", 1800, 2400, Math.ceil(1452 * 1.62)],
    ["gpt-4.1-nano", 32, 32, 3],
    ["o4-mini", 33, 32, 4],
    ["gpt-5-mini", 20, 1_000_000, Math.ceil(1536 * 1.62)],
  ] as const) {
    t.equal(imageTokens(model, pngUrl(width, height), "low"), tokens, `${model} ${width}x${height}`)
  }
  t.end()
})

test("an image whose size is not in the request counts as 1024 by 1024", (t) => {
  for (const url of ["https://example.com/a.png", "data:image/png,raw", "data:image/png;base64,AAAA", ""]) {
    t.equal(imageTokens("gpt-4o", url, "high"), 765, url)
  }
  t.end()
})

test("a size behind a long JPEG profile is found", (t) => {
  const segment = Buffer.alloc(60_002)
  segment.writeUInt16BE(0xffe2, 0)
  segment.writeUInt16BE(60_000, 2)
  const frame = Buffer.from([0xff, 0xc0, 0, 17, 8, 1, 0, 1, 0, 3, 0])
  const url = `data:image/jpeg;base64,${Buffer.concat([Buffer.from([0xff, 0xd8]), segment, segment, frame]).toString("base64")}`
  t.equal(imageTokens("gpt-4o", url, "high"), 255)
  t.end()
})

test("sound costs ten tokens a second", (t) => {
  const second = 64_000 // characters of base64 that hold 48,000 bytes
  t.equal(audioTokens(second, "wav"), 10)
  t.equal(audioTokens(second, "mp3"), 30)
  t.equal(audioTokens(0, undefined), 0)
  t.end()
})
