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
    ["gpt-5.1", 1024, 1024, 630],
    ["gpt-5-codex", 1024, 1024, 630],
    ["chatgpt-4o-latest", 1024, 1024, 765],
    ["computer-use-preview", 1024, 1024, 581],
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

test("other makers' models are counted as their documents count them", (t) => {
  for (const [model, width, height, tokens] of [
    ["claude-sonnet-4-5", 200, 200, 64],
    ["claude-sonnet-4-5", 1092, 1092, 39 * 39],
    ["claude-sonnet-4-5", 8000, 8000, 39 * 39],
    ["claude-3-5-haiku-latest", 1568, 100, 56 * 4],
    ["anthropic/claude-opus-4.7", 1568, 1568, 56 * 56],
    ["claude-opus-4-7", 8000, 8000, 69 * 69],
    ["gemini-2.5-flash", 384, 384, 258],
    ["gemini-2.5-flash", 1024, 1024, 4 * 258],
    ["gemini-3-pro", 4096, 4096, 1120],
    ["gemma3:27b", 4096, 4096, 256],
    ["qwen2.5vl:7b", 1024, 1024, 37 * 37],
    ["Qwen/Qwen3-VL-8B-Instruct", 1024, 1024, 32 * 32],
    ["llava:13b", 100, 100, 2880],
    ["gpt-5.2", 1024, 1024, 1024],
    ["gpt-5.4", 2048, 2048, 2500],
    ["gpt-5.4-mini", 1024, 1024, Math.ceil(1024 * 1.62)],
    ["gpt-5.1-codex-mini", 1024, 1024, Math.ceil(1024 * 1.62)],
  ] as const) {
    t.equal(imageTokens(model, pngUrl(width, height), "high"), tokens, `${model} ${width}x${height}`)
  }
  t.end()
})

test("a model that the table lacks costs no less than most: patches of 28 pixels, up to 4096", (t) => {
  for (const model of ["mine", "", "llama3.2-vision", "gpt-oss-vision"]) {
    t.equal(imageTokens(model, pngUrl(1024, 1024), "high"), 37 * 37, model)
    t.equal(imageTokens(model, pngUrl(9000, 9000), "low"), 4096, model)
  }
  t.equal(imageTokens("gpt-9-ultra", pngUrl(9000, 9000), "high"), 2500, "a newer one of a maker's costs as its newest")
  t.equal(imageTokens("claude-next", pngUrl(9000, 9000), "high"), 69 * 69)
  t.equal(imageTokens("gemini-9", pngUrl(10, 10), "high"), 1120)
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
