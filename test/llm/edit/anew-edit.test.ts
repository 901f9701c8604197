/** Turns of OpenAI's Realtime API: what nobody changed keeps its bytes, and from the first change on all is written anew. */
import { test } from "tap"
import { StreamEditor } from "../../../lib/llm/edit/stream-edit.ts"
import { dialectNamed } from "../../../lib/llm/index.ts"
import type { Delta } from "../../../lib/llm/model.ts"
import { contextFor } from "../../helpers/llm/dialect-fixtures.ts"
import { dataLines, redacts } from "../../helpers/llm/edited-streams.ts"

const dialect = dialectNamed("openai-realtime")

const item = {
  id: "i",
  type: "message",
  role: "assistant",
  status: "completed",
  content: [{ type: "text", text: "a secret" }],
}
const usage = { input_tokens: 3, output_tokens: 2, total_tokens: 5 }
const TURN = dataLines(
  { type: "response.created", response: { id: "r", status: "in_progress", output: [] } },
  { type: "response.output_text.delta", item_id: "i", output_index: 0, content_index: 0, delta: "a " },
  { type: "response.output_text.delta", item_id: "i", output_index: 0, content_index: 0, delta: "secret" },
  { type: "response.done", response: { id: "r", status: "completed", output: [item], usage } },
)

function edited(edit: (delta: Delta, end: () => void) => readonly Delta[]): string {
  const decoder = dialect.decoder()
  const editor: StreamEditor = new StreamEditor(dialect, { ...contextFor(dialect), passUsage: true }, "sse", (delta) =>
    edit(delta, () => editor.stop()),
  )
  const events = [...decoder.feed(Buffer.from(TURN)), ...decoder.finish()]
  return Buffer.concat([...events.map((event) => editor.rewrite(event)), editor.end()]).toString("utf8")
}

test("a turn that says the same keeps its bytes", (t) => {
  t.equal(
    edited((delta) => [delta]),
    TURN,
  )
  t.end()
})

test("a turn whose text is changed says the new one alone, with its end and its usage", (t) => {
  const out = edited(redacts)
  t.notMatch(out, "secret")
  t.match(out, "***")
  t.match(out, /"input_tokens":3/)
  t.end()
})

test("a turn that an addon ends is ended here", (t) => {
  const out = edited((delta, end) => {
    if (delta.type === "text") end()
    return [delta]
  })
  t.match(out, '"a "')
  t.notMatch(out, "secret")
  t.end()
})
