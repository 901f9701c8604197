import { test } from "tap"
import { LINE_BYTES_MAX, NdjsonDecoder } from "../../../lib/llm/framing/ndjson.ts"

const STREAM = '{"response":"é"}\n\n  {"done":true}\r\nno json\n{"last":1}'

test("any split gives the same lines, and their bytes are the stream", async (t) => {
  const bytes = Buffer.from(STREAM)
  for (let cut = 0; cut <= bytes.length; cut++) {
    const decoder = new NdjsonDecoder()
    const chunks = [bytes.subarray(0, cut), bytes.subarray(cut)]
    const lines = [...chunks.flatMap((chunk) => decoder.feed(chunk)), ...decoder.finish()]
    t.strictSame(
      lines.map((line) => line.json),
      [{ response: "é" }, undefined, { done: true }, undefined, { last: 1 }],
      `cut at byte ${cut}`,
    )
    t.equal(Buffer.concat(lines.map((line) => line.raw)).toString(), STREAM)
  }
})

test("a line that is no JSON keeps its text", async (t) => {
  t.strictSame(
    new NdjsonDecoder().feed(Buffer.from(" oops \n\n")).map((line) => [line.text, line.json]),
    [
      ["oops", undefined],
      ["", undefined],
    ],
  )
})

test("nothing is left after the last line end", async (t) => {
  const decoder = new NdjsonDecoder()
  decoder.feed(Buffer.from("{}\n"))
  t.strictSame(decoder.finish(), [])
})

test("a line over the limit ends the stream with an error", async (t) => {
  const decoder = new NdjsonDecoder()
  decoder.feed(Buffer.alloc(LINE_BYTES_MAX, " "))
  t.throws(() => decoder.feed(Buffer.from(" ")), { code: "event-too-large", source: "upstream", message: /JSON line/ })
})
