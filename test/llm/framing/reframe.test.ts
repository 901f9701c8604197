import { readdirSync, readFileSync } from "node:fs"
import { test } from "tap"
import type { Dialect, StreamEvent } from "../../../lib/llm/dialect.ts"
import type { StreamFraming } from "../../../lib/llm/framing/framing.ts"
import { decoderFor, framingOf, reframed, writerFor } from "../../../lib/llm/framing/reframe.ts"
import { DIALECTS } from "../../../lib/llm/index.ts"
import { ollama } from "../../../lib/llm/ollama/ollama.ts"
import { openaiChat } from "../../../lib/llm/openai/chat.ts"
import { everySplit } from "../../../lib/testing/every-split.ts"
import { assembled, contextFor, decodeAll, streamedAnswers } from "../../helpers/llm/dialect-fixtures.ts"

const otherThan = (framing: StreamFraming): StreamFraming => (framing === "sse" ? "lines" : "sse")

/** Streams of good events alone, as a server of that dialect would frame them. */
function streams(): { title: string; dialect: Dialect; bytes: Buffer }[] {
  const root = new URL("../../fixtures/llm/", import.meta.url)
  const titles = new Set(streamedAnswers().map(({ title }) => title))
  return DIALECTS.flatMap((dialect) =>
    readdirSync(new URL(`${dialect.name}/`, root))
      .filter((name) => titles.has(`${dialect.name}/${name}`) && !/bare|json-lines|single-newlines/.test(name))
      .map((name) => {
        const bytes = readFileSync(new URL(`${dialect.name}/${name}`, root))
        return { title: `${dialect.name}/${name}`, dialect, bytes }
      }),
  )
}

function decodeAs(dialect: Dialect, framing: StreamFraming, pieces: readonly Buffer[]): StreamEvent[] {
  const decoder = decoderFor(dialect, framing)
  return [...pieces.flatMap((piece) => decoder.feed(piece)), ...decoder.finish()]
}

test("a stream in the other framing means what it means in its own", async (t) => {
  for (const { title, dialect, bytes } of streams()) {
    const other = otherThan(framingOf(dialect))
    const text = Buffer.from(reframed(bytes.toString("utf8"), other))
    const events = decodeAs(dialect, other, [text])
    const own = decodeAll(dialect, bytes)
    t.strictSame(
      events.flatMap(({ deltas }) => deltas),
      own.flatMap(({ deltas }) => deltas),
      title,
    )
    t.same(assembled(events).finish(false), assembled(own).finish(false), title)
    t.equal(Buffer.concat(events.map(({ raw }) => raw)).toString(), text.toString(), `${title}: its bytes stay`)
  }
})

test("any split of it gives the same events", async (t) => {
  const cases: [Dialect, StreamFraming, string][] = [
    [
      ollama,
      "sse",
      'data: {"message":{"content":"é"},"done":false}\n\n: c\n\ndata: {"message":{"content":""},\ndata: "done":true}\n\ndata: [DONE]\n\n',
    ],
    [ollama, "sse", '\uFEFFdata: {"response":"a"}\r\n\r\nerror: {"message":"b"}\r\n\r\n'],
    [
      openaiChat,
      "lines",
      '\uFEFF{"choices":[{"delta":{"content":"é"}}]}\n\n {"error":{"message":"b"}}\r\noops\n[DONE]',
    ],
  ]
  for (const [dialect, framing, text] of cases) {
    const whole = decodeAs(dialect, framing, [Buffer.from(text)])
    for (const split of everySplit(Buffer.from(text)))
      t.strictSame(decodeAs(dialect, framing, split), whole, `cut at byte ${split[0].length}`)
  }
})

test("events without meaning, errors and end marks are told in both", async (t) => {
  const told = (dialect: Dialect, framing: StreamFraming, text: string) =>
    decodeAs(dialect, framing, [Buffer.from(text)]).map(({ deltas, error, done, json }) => {
      return [deltas.map(({ type }) => type), error?.message, done, json === undefined]
    })
  const lines = '{"choices":[{"delta":{"content":"a"}}]}\n\n{"error":{"message":"b"}}\noops\n[DONE]\n'
  t.strictSame(told(openaiChat, "lines", lines), [
    [["text"], undefined, false, false],
    [[], undefined, false, true],
    [[], "b", false, false],
    [[], undefined, false, true],
    [[], undefined, true, true],
  ])
  const events =
    ': c\n\ndata: {"response":"a","done":false}\n\nerror: b\n\ndata: {"done":true,\ndata: "response":""}\n\ndata: [DONE]\n\n'
  t.strictSame(told(ollama, "sse", events), [
    [[], undefined, false, true],
    [["text"], undefined, false, false],
    [[], "b", false, false],
    [["finish"], undefined, true, false],
    [[], undefined, true, true],
  ])
})

test("what an encoder writes goes into the framing of the stream", async (t) => {
  const delta = { type: "text", index: 0, text: "hi" } as const
  for (const dialect of DIALECTS) {
    const other = otherThan(framingOf(dialect))
    const encoder = dialect.encoder(contextFor(dialect, "/api/chat"))
    const write = writerFor(dialect, other)
    const text =
      encoder.delta(delta) +
      encoder.delta({ type: "finish", index: 0, reason: { unified: "stop", raw: "stop" } }) +
      encoder.end()
    t.equal(writerFor(dialect, framingOf(dialect))(text), text)
    const events = decodeAs(dialect, other, [Buffer.from(write(text))])
    t.equal(assembled(events).finish(false).text, "hi", dialect.name)
    if (other === "lines") for (const line of write(text).trim().split("\n")) t.ok(JSON.parse(line), dialect.name)
    else t.match(write(text), /^(data: \{.*\}\n\n)+$/)
  }
  t.equal(
    reframed('{"type":"ping"}\n', "sse"),
    'event: ping\ndata: {"type":"ping"}\n\n',
    "Anthropic's clients go by names",
  )
  t.equal(reframed(": c\n\ndata: [DONE]\n\n", "lines"), "", "there are no comments and end marks in JSON lines")
})
