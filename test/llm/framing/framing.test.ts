import { readdirSync, readFileSync } from "node:fs"
import { test } from "tap"
import {
  type Framing,
  FramingScan,
  framingIn,
  framingLabelled,
  type StreamFraming,
  streamFraming,
} from "../../../lib/llm/framing/framing.ts"
import { LINE_BYTES_MAX } from "../../../lib/llm/framing/ndjson.ts"
import { framingOf } from "../../../lib/llm/framing/reframe.ts"
import { DIALECTS } from "../../../lib/llm/index.ts"
import { everySplit } from "../../../lib/testing/every-split.ts"

type Label = Exclude<Framing, "none"> | undefined
const LABELS: readonly Label[] = [undefined, "json", "lines", "sse"]
const OWN: readonly StreamFraming[] = ["sse", "lines"]
const BOM = "\uFEFF"

/** How `text` is framed, whole; and after how many bytes that was known, undefined where only the end told. */
function scan(text: string | Buffer, label: Label, own: StreamFraming = "sse") {
  const bytes = Buffer.from(text)
  const made = new FramingScan({ label, own })
  const known = [...bytes].findIndex((_, at) => made.feed(bytes.subarray(at, at + 1)) !== undefined)
  return { framing: made.finish(), after: known === -1 ? undefined : known + 1 }
}

/** The framing as every split of `text` tells it: they must agree. */
function framingAt(text: string | Buffer, label: Label, own: StreamFraming = "sse"): Framing[] {
  const found = new Set<Framing>([scan(text, label, own).framing])
  for (const [before, after] of everySplit(Buffer.from(text))) {
    const made = new FramingScan({ label, own })
    made.feed(before)
    made.feed(after)
    found.add(made.finish())
  }
  return [...found]
}

test("a stream of events is told by its first field, whatever its label says, at any split", async (t) => {
  const beginnings = [
    "data: {}",
    "data:{}",
    "event: a\ndata: {}",
    "id: 1\n",
    "retry: 5\n",
    ": a comment\n",
    "error: {}",
  ]
  for (const text of beginnings.flatMap((one) => [one, `\r\n\n${one}`, BOM + one])) {
    for (const label of LABELS)
      for (const own of OWN) t.strictSame(framingAt(text, label, own), ["sse"], `${label} ${text}`)
    t.equal(scan(text, "json").after, Buffer.from(text).indexOf(":") + 1, "as soon as its name has come")
  }
})

test("JSON lines are told with the second value, one value at its end, whatever the label says", async (t) => {
  const cases: [string, Framing, string | undefined][] = [
    ['{"a":1}\n{"b":2}\n', "lines", "{"],
    [`${BOM}\n {"a":1} \r\n\n  {"b":{}}`, "lines", "{"],
    ['{"a":1}\n[DONE]', "lines", "["],
    ['{"a":1}', "json", undefined],
    ['{"a":1}\r\n \n', "json", undefined],
    [`${BOM}{"a":"}\\n{"}`, "json", undefined],
    ['{\n  "a": {"b":1}\n}\n', "json", "\n"],
    ['{"a":[{"b":1},\n{"c":2}]}', "json", "\n"],
    ['[{"a":1},\n{"b":2}]', "json", "["],
    ['{"error":{}}\n\ndata: [DONE]\n\n', "sse", ":"],
    [' {"error":{}}\ndata: [DONE]\n\n', "sse", ":"],
  ]
  for (const [text, framing, known] of cases)
    for (const label of [undefined, "json", "sse"] as const) {
      t.strictSame(framingAt(text, label), [framing], `${label} ${text}`)
      const { after } = scan(text, label)
      t.equal(after === undefined ? undefined : Buffer.from(text).toString("latin1")[after - 1], known, text)
    }
})

test("the first line of JSON lines that are labelled so is known at its end, where the dialect has them", async (t) => {
  const line = '{"a":1}\n'
  t.strictSame(scan(`${line}{"b":2}\n`, "lines", "lines"), { framing: "lines", after: line.length })
  t.strictSame(scan('{"a":1}', "lines", "lines"), { framing: "lines", after: undefined })
  t.strictSame(framingAt(line, "lines", "lines"), ["lines"])
  t.strictSame(framingAt(line, "lines", "sse"), ["json"], "of another dialect it may be the whole answer")
  t.strictSame(framingAt('{\n"a":1}\n', "lines", "lines"), ["json"])
  const unasked = new FramingScan({ label: "lines", own: "lines", asked: false })
  t.equal(unasked.feed(Buffer.from(line)), undefined)
  t.equal(unasked.finish(), "json", "where none was asked for, neither")
})

test("what is neither is none; a label tells where there is nothing to tell it", async (t) => {
  for (const text of [
    "<html>",
    "oops",
    "data",
    " data: {}",
    "secret: 1",
    '"a"',
    "\x1f\x8b",
    `x${BOM}{}`,
    "x".repeat(99),
  ])
    for (const label of [undefined, "json", "lines"] as const) t.strictSame(framingAt(text, label), ["none"], text)
  t.strictSame(framingAt("x-field: 1\ndata: {}\n\n", "sse"), ["sse"], "readers of events skip fields they do not know")
  t.strictSame(framingAt("oops\n", "sse"), ["none"])
  t.strictSame(framingAt('{"a":1}\noops', undefined), ["json"])
  t.strictSame(framingAt('{"a":1}\noops', "json"), ["json"])
  t.strictSame(framingAt('{"a":1}\noops', "sse"), ["sse"])
  for (const nothing of ["", "\r\n \n", BOM]) {
    t.strictSame(framingAt(nothing, undefined), ["json"])
    for (const label of ["json", "lines", "sse"] as const) t.strictSame(framingAt(nothing, label), [label])
  }
})

test("what can be no field is known at once, and a name of more than 32 characters is none", async (t) => {
  t.equal(scan("<html>", "sse").after, 1)
  t.strictSame(framingAt(`${"x".repeat(32)}: 1\n`, "sse"), ["sse"])
  t.strictSame(scan("x".repeat(40), "sse"), { framing: "none", after: 33 })
})

test("what was found is told again, and nothing before it", async (t) => {
  const made = new FramingScan({ own: "sse" })
  t.equal(made.found, undefined)
  made.feed(Buffer.from("data: {}"))
  t.equal(made.found, "sse")
})

test("a whole body is framed as its bytes say", async (t) => {
  const bodies = ["data: {}\n\n", '{"a":1}\n{"b":2}', "{}", "oops"]
  t.strictSame(
    bodies.map((body) => framingIn(Buffer.from(body))),
    ["sse", "lines", "json", "none"],
  )
})

test("a stream is read as it is framed; what cannot be told is tried as labelled", async (t) => {
  const types = ["text/event-stream", "application/x-ndjson", "application/json", undefined]
  const read = (framing: Framing) => types.map((type) => streamFraming(framing, type))
  t.strictSame(read("none"), ["sse", "lines", undefined, undefined])
  t.strictSame(read("sse"), ["sse", "sse", "sse", "sse"])
  t.strictSame(read("lines"), ["lines", "lines", "lines", "lines"])
  t.strictSame(read("json"), [undefined, undefined, undefined, undefined])
})

test("the limit of a line counts that line alone, and is one that a line may have", async (t) => {
  const indent = " ".repeat(LINE_BYTES_MAX / 2 + 1)
  t.equal(framingIn(Buffer.from(`${indent}{"a":1}\n{"b":2}`)), "lines")
  const text = "x".repeat(LINE_BYTES_MAX - '"a":""}'.length)
  t.equal(framingIn(Buffer.from(`{"a":"${text}"}\n{"b":2}`)), "lines")
})

test("a line beyond the limit of JSON lines is one value", async (t) => {
  const made = new FramingScan({ own: "lines" })
  t.equal(made.feed(Buffer.from(`{"a":"${"x".repeat(LINE_BYTES_MAX)}`)), "json")
  t.equal(made.feed(Buffer.from('"}\n{}')), "json", "what is known stays")
})

test("every recorded answer is told by its bytes under every label", async (t) => {
  const root = new URL("../../fixtures/llm/", import.meta.url)
  const single = new Set(["pretty-bare.sse", "pythagora-bare.sse", "generate-load.ndjson"])
  for (const dialect of DIALECTS) {
    const folder = new URL(`${dialect.name}/`, root)
    for (const name of readdirSync(folder).filter((one) => !one.endsWith(".expected.json"))) {
      const bytes = readFileSync(new URL(name, folder))
      const kind = name.endsWith(".json") || single.has(name) ? "json" : framingOf(dialect)
      const framing = name === "json-lines.sse" ? "lines" : kind
      for (const label of [undefined, "json", "sse"] as const)
        t.strictSame(scan(bytes, label, framingOf(dialect)).framing, framing, `${dialect.name}/${name} as ${label}`)
    }
  }
})

test("a label is read from a content type", async (t) => {
  const cases = {
    "text/event-stream; charset=utf-8": "sse",
    "application/x-ndjson": "lines",
    "application/jsonl": "lines",
    "Application/JSON": "json",
    "application/problem+json": "json",
    "text/plain": undefined,
    "text/html": undefined,
  }
  for (const [type, label] of Object.entries(cases)) t.equal(framingLabelled(type), label, type)
  t.equal(framingLabelled(undefined), undefined)
})
