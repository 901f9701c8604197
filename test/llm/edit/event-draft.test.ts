/** An event's JSON is changed where it stands, whatever its lines look like. */
import { test } from "tap"
import type { JsonValue } from "../../../lib/base/json.ts"
import { EventDraft } from "../../../lib/llm/edit/event-draft.ts"

const draftOf = (text: string) => EventDraft.of(Buffer.from(text))

/** What leaves for `text` when each of its documents is made another. */
function changed(text: string, change: (json: JsonValue) => JsonValue): string {
  const draft = draftOf(text)
  for (const document of draft.documents) document.value = change(document.value)
  return draft.bytes().toString("utf8")
}

const secret = (json: JsonValue): JsonValue => JSON.parse(JSON.stringify(json).replaceAll("secret", "***"))

/** Events, as they come and as they leave. */
const EVENTS: Readonly<Record<string, [came: string, left: string]>> = {
  "one line of data": [
    'id: 7\nevent: x\ndata: {"a": "secret", "b":1}\n\n',
    'id: 7\nevent: x\ndata: {"a": "***", "b":1}\n\n',
  ],
  "a line of JSON lines": ['{"a": "secret", "b":1}\n', '{"a": "***", "b":1}\n'],
  "a list in JSON lines": ['["secret", 1]\n', '["***", 1]\n'],
  "a text in JSON lines": ['"a secret"\n', '"a ***"\n'],
  "JSON below a field, without `data:`": [
    'event: x\r\n{"a": "secret",\r\n "b":1}\r\n\r\n',
    'event: x\r\n{"a": "***",\r\n "b":1}\r\n\r\n',
  ],
  "two objects in two lines of data": [
    'data: {"a": "secret"}\ndata: {"a": "a secret", "b":1}\n\n',
    'data: {"a": "***"}\ndata: {"a": "a ***", "b":1}\n\n',
  ],
  "one object over several lines of data": [
    'id: 7\ndata: {"a": "secret",\ndata: "b":1}\n\n',
    'id: 7\ndata: {"a": "***",\ndata: "b":1}\n\n',
  ],
  "one over several lines that end with CR LF": [
    'data: {"a": "secret",\r\ndata: "b":1}\r\n: c\r\n\r\n',
    ': c\r\ndata: {"a": "***",\r\ndata: "b":1}\r\n\r\n',
  ],
  "one over several lines that end with CR": [
    '\uFEFFdata: {"a": "secret",\rdata: "b":1}\r\r',
    'data: {"a": "***",\rdata: "b":1}\r\r',
  ],
}

for (const [what, [came, left]] of Object.entries(EVENTS))
  test(`${what}: what changes is changed, and an event that nobody changed keeps every byte`, async (t) => {
    t.equal(changed(came, secret), left)
    t.equal(
      changed(came, (json) => json),
      came,
    )
  })

test("what holds no JSON has nothing to change", async (t) => {
  for (const text of ["", "\n", ": {\n\n", "data: [DONE]\n\n", "data:\n\n", "event: x\n\n"]) {
    t.strictSame(draftOf(text).documents, [])
    t.equal(draftOf(text).set({ a: 1 }).bytes().toString("utf8"), text)
  }
})

test("an event gets another name only where it has one", async (t) => {
  const renamed = (text: string, json?: JsonValue) => {
    const draft = draftOf(text)
    if (json !== undefined) draft.set(json)
    draft.rename("y")
    return draft.bytes().toString("utf8")
  }
  t.equal(renamed('event: x\ndata: {"a":1}\n\n'), 'event: y\ndata: {"a":1}\n\n')
  t.equal(renamed('\uFEFFevent:x\ndata: {"a":1}\n\n', { a: 2 }), '\uFEFFevent:y\ndata: {"a":2}\n\n')
  t.equal(renamed('event: x\ndata: {"a":\ndata: 1}\n\n', { a: 2 }), 'event: y\ndata: {"a":\ndata: 2}\n\n')
  for (const same of ['event: y\ndata: {"a":1}\n\n', 'data: {"a":1}\n\n', '{"a":1}\n']) t.equal(renamed(same), same)
})
