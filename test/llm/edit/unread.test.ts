/** What an edit cannot read does not pass. */
import assert from "node:assert/strict"
import { test } from "tap"
import { StreamEditor } from "../../../lib/llm/edit/stream-edit.ts"
import { framingOf } from "../../../lib/llm/framing/reframe.ts"
import { DIALECTS, dialectNamed } from "../../../lib/llm/index.ts"
import type { Delta, DialectName } from "../../../lib/llm/model.ts"
import { contextFor } from "../../helpers/llm/dialect-fixtures.ts"
import { editStream, fixtureStreams } from "../../helpers/llm/edited-streams.ts"

const CHAT = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
const SECRET = '{"choices":[{"index":0,"delta":{"content":"ZEBRA"}}]'

const same = (delta: Delta): Delta[] => [{ ...delta }]

function edited(name: DialectName, text: string): string {
  const dialect = dialectNamed(name)
  const decoder = dialect.decoder()
  const editor = new StreamEditor(dialect, contextFor(dialect), framingOf(dialect), same)
  const events = [...decoder.feed(Buffer.from(text)), ...decoder.finish()]
  return Buffer.concat([...events.map((event) => editor.rewrite(event)), editor.end()]).toString("utf8")
}

const UNREADABLE: Readonly<Record<string, string>> = {
  "NaN and Infinity": `data: ${SECRET},"x":-Infinity}\n\n`,
  "a raw tab in a string": `data: ${SECRET.replace("ZEBRA", "ZEBRA\t")}}\n\n`,
  "a raw NUL in a string": `data: ${SECRET.replace("ZEBRA", "ZEBRA\0")}}\n\n`,
  "a trailing comma": `data: ${SECRET},}\n\n`,
  "two objects in one line": `data: ${SECRET}}${SECRET}}\n\n`,
  "a line that can be read and one that cannot": `data: ${SECRET}}\ndata: ${SECRET},}\n\n`,
  "plain text": "data: ZEBRA\n\n",
  "a line that is no field": "ZEBRA\n\n",
  "a byte order mark in the middle": `\uFEFFdata: ${SECRET}}\n\n`,
  "an event that is not whole": `data: ${SECRET}`,
}

for (const [what, event] of Object.entries(UNREADABLE)) {
  test(`an edited stream breaks off at ${what}`, async () => {
    assert.throws(() => edited("openai-chat", CHAT + event), {
      code: "unreadable-event",
      message: "the stream holds an event that is no JSON, and an addon has to edit it",
    })
  })
}

test("a line of JSON lines that is none breaks off as well, whole or not", async () => {
  const line = '{"model":"m","message":{"role":"assistant","content":"a"},"done":false}\n'
  for (const bad of ["ZEBRA\n", '{"message":{"content":"ZEB', '{"x":NaN,"message":{"content":"ZEBRA"}}\n'])
    assert.throws(() => edited("ollama", line + bad), { code: "unreadable-event" })
})

const FOREIGN: readonly Delta[] = [
  { type: "text", index: 0, text: "ZEBRA" },
  { type: "toolCall", index: 0, call: 0, id: "t", name: "f", arguments: '{"a":"ZEBRA"}' },
]

test("events of another dialect break off, in every dialect's stream", async () => {
  const kin: ReadonlySet<string> = new Set(["openai-chat openai-completions", "openai-completions openai-chat"])
  for (const own of DIALECTS) {
    for (const other of DIALECTS) {
      if (own === other || own.streamType !== other.streamType || kin.has(`${own.name} ${other.name}`)) continue
      const context = { id: "i", model: "m", created: 1, request: undefined }
      for (const delta of FOREIGN) {
        // llama.cpp has no calls.
        const text = other.encoder(context).delta(delta)
        const nameless = text.replace(/"type":"(?:response|content_block)[^"]*",?/, "")
        for (const one of text === "" ? [] : [text, nameless])
          assert.throws(() => edited(own.name, one), /another dialect/, `${other.name} in ${own.name}: ${one}`)
      }
    }
  }
})

test("comments, end marks, empty data and unknown objects pass as they came", async () => {
  const more = ': c\n\ndata:\n\nevent: x\ndata: {"type":"new","y":1}\n\nid: 7\nretry: 5\n\ndata: [DONE]\n\n'
  assert.equal(edited("openai-chat", `\uFEFF${CHAT}${more}`), `\uFEFF${CHAT}${more}`)
})

test("what was parsed with its event is looked through for lines that were not", async () => {
  const event = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}'
  for (const lines of [
    `ZEBRA\n${event}\n\n`,
    `${event}\nZEBRA\n\n`,
    `${event}\rZEBRA\r\r`,
    `${event}\ndata: ZEBRA\n\n`,
  ])
    assert.throws(() => edited("openai-chat", lines), { code: "unreadable-event" }, lines)
  for (const end of ["\n\n", "\r\n\r\n", "\r\r", "\nid: 7\n\n", ""])
    assert.equal(edited("openai-chat", event + end), event + end)
})

test("whatever is whole in our fixtures is readable", async () => {
  for (const dialect of DIALECTS)
    for (const { name, bytes } of fixtureStreams(dialect).filter((one) => !one.name.includes("cut")))
      assert.equal(editStream(dialect, bytes, same), bytes.toString("utf8"), name)
})
