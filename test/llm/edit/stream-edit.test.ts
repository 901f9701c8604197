/** What holds for edited streams of every dialect, over the forms in test/fixtures/llm. */
import { test } from "tap"
import { DIALECTS } from "../../../lib/llm/index.ts"
import type { Delta } from "../../../lib/llm/model.ts"
import { changes, editStream, fixtureStreams, told } from "../../helpers/edited-streams.ts"

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
