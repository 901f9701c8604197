/** What holds for edited streams of every dialect, over the forms in test/fixtures/llm. */
import { test } from "tap"
import { DIALECTS, dialectNamed } from "../../../lib/llm/index.ts"
import type { Delta } from "../../../lib/llm/model.ts"
import { RECORDED_HOSTS, recorded, recordedNames } from "../../helpers/hosts/recorded-hosts.ts"
import { decodeAll } from "../../helpers/llm/dialect-fixtures.ts"
import { changes, editStream, fixtureStreams, told } from "../../helpers/llm/edited-streams.ts"

/** Other objects that say the same. */
const copies = (delta: Delta): Delta[] => [{ ...delta }]

const upper = (delta: Delta): Delta[] => ["text" in delta ? { ...delta, text: delta.text.toUpperCase() } : delta]

/** Holds each text back until the next delta of its choice. */
function late(): (delta: Delta) => Delta[] {
  const held = new Map<number, Delta>()
  return (delta) => {
    if (!("index" in delta)) return [delta]
    const before = held.get(delta.index)
    held.delete(delta.index)
    if ("text" in delta) held.set(delta.index, delta)
    const present = "text" in delta ? [] : [delta]
    return before === undefined ? present : [before, ...present]
  }
}

/** A change of the upper-casing kind: "path: "a" -> "A"". */
function isUpper(change: string): boolean {
  const [before = "", after = ""] = change.slice(change.indexOf(": ") + 2).split(" -> ")
  return after === "null" || after === "[]" || before.toUpperCase() === after.toUpperCase()
}

for (const dialect of DIALECTS) {
  for (const { name, bytes } of fixtureStreams(dialect)) {
    const title = `${dialect.name}/${name}`
    const came = told(dialect, bytes.toString("utf8"))

    test(`${title}: an edit that says the same leaves every byte`, async (t) => {
      t.equal(editStream(dialect, bytes, copies), bytes.toString("utf8"))
      let end = 0
      const ends = decodeAll(dialect, bytes).map(({ raw }) => (end += raw.length))
      const cut = ends.find((end) => {
        const part = bytes.subarray(0, end)
        return editStream(dialect, part, copies) !== part.toString("utf8")
      })
      t.equal(cut, undefined, "nor where it breaks off between two events")
    })

    test(`${title}: an edit of the texts changes them and nothing else`, async (t) => {
      const text = editStream(dialect, bytes, upper)
      t.strictSame(
        changes(bytes.toString("utf8"), text).filter((change) => !isUpper(change)),
        [],
      )
      const { completion, done, others } = told(dialect, text)
      t.equal(completion.text, came.completion.text.toUpperCase())
      t.equal(completion.reasoning, came.completion.reasoning.toUpperCase())
      t.strictSame(completion.toolCalls, came.completion.toolCalls)
      t.strictSame([completion.usage, done, others], [came.completion.usage, came.done, came.others])
    })

    test(`${title}: what is held back comes in its order, with the usage and the end that came`, async (t) => {
      const { completion, done } = told(dialect, editStream(dialect, bytes, late()))
      if (!came.done || came.failed) return // What an addon holds when a stream breaks off is lost.
      t.strictSame(
        [completion.text, completion.reasoning, completion.toolCalls, completion.usage, done],
        [came.completion.text, came.completion.reasoning, came.completion.toolCalls, came.completion.usage, true],
      )
    })
  }
}

test("events that nest deeply, and what only looks like an event, pass and are edited without harm", async (t) => {
  const deep = `${'{"a":['.repeat(20_000)}1${"]}".repeat(20_000)}`
  for (const dialect of DIALECTS) {
    const [first] = fixtureStreams(dialect)
    const isLines = dialect.streamType === "application/x-ndjson"
    const odd = [deep, `{"type":"response.future","x":${deep}}`, "7", "null", "[]", '"text"', "{}"]
    const before = odd.map((text) => (isLines ? `${text}\n` : `data: ${text}\n\n`)).join("")
    const stream = before + (first?.bytes.toString("utf8") ?? "")
    t.equal(editStream(dialect, Buffer.from(stream), copies), stream, dialect.name)
    t.doesNotThrow(() => editStream(dialect, Buffer.from(stream), upper), dialect.name)
  }
})

for (const host of RECORDED_HOSTS) {
  test(`${host}: recorded streams keep all but the edited texts`, async (t) => {
    for (const name of recordedNames(host).filter((one) =>
      /^(chat|completion|tools|api-chat|api-generate)\S*stream$/.test(one),
    )) {
      const { status, body } = recorded(host, name)
      if (status !== 200) continue
      const dialect = dialectNamed(
        name.startsWith("api-") ? "ollama" : name.startsWith("comp") ? "openai-completions" : "openai-chat",
      )
      const came = body.toString("utf8")
      t.equal(editStream(dialect, body, copies), came, name)
      const text = editStream(dialect, body, upper)
      t.strictSame(
        changes(came, text).filter((change) => !isUpper(change)),
        [],
        name,
      )
      t.equal(told(dialect, text).completion.text, told(dialect, came).completion.text.toUpperCase(), name)
      t.strictSame(told(dialect, text).completion.usage, told(dialect, came).completion.usage, name)
    }
  })
}
