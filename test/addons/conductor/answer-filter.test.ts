import { test } from "tap"
import { answerFilter } from "../../../addons/conductor/answer-filter.ts"
import type { Delta } from "../../../lib/llm/model.ts"
import { DEEPSEEK_CODER } from "../../../lib/llm/template/index.ts"

const text = (value: string, index = 0): Delta => ({ type: "text", index, text: value })
const finish = (index = 0): Delta => ({ type: "finish", index, reason: { unified: "length", raw: "length" } })

function through(marks: boolean, deltas: readonly Delta[]): Delta[] {
  const filter = answerFilter(marks ? DEEPSEEK_CODER.cut : undefined)
  return deltas.flatMap((delta) => {
    const made = filter(delta)
    return made === undefined ? [] : "type" in made ? [made] : [...made]
  })
}

function textIn(deltas: readonly Delta[]): string {
  return deltas.map((delta) => (delta.type === "text" ? delta.text : "")).join("")
}

test("the end of a turn is cut off wherever the answer is split", (t) => {
  for (const [answer, visible] of [
    ["let x = 1\n<|EOT|>", "let x = 1"],
    ["let x = 1<|EOT|> and on", "let x = 1"],
    ["a\n### Instruction:\nb", "a"],
    ["a\n<|EO", "a\n<|EO"],
    ["a\n", "a\n"],
  ] as const) {
    for (let cut = 0; cut <= answer.length; cut++) {
      const deltas = through(true, [text(answer.slice(0, cut)), text(answer.slice(cut)), finish()])
      t.equal(textIn(deltas), visible, `${JSON.stringify(answer)} cut at ${cut}`)
      t.equal(deltas.at(-1)?.type, "finish")
    }
  }
  t.end()
})

test("an answer that is cut at a mark has stopped, whatever the host says", (t) => {
  const last = through(true, [text("a<|EOT|><|EOT|>"), finish()]).at(-1)
  t.match(last, { type: "finish", reason: { unified: "stop" } })
  t.match(through(true, [text("a"), finish()]).at(-1), { reason: { unified: "length" } })
  t.end()
})

test("white space at the beginning waits for a word, and is nothing without one", (t) => {
  t.strictSame(through(false, [text("\n"), text(" "), text("a"), text("\n"), finish()]), [
    text("\n a"),
    text("\n"),
    finish(),
  ])
  t.strictSame(through(false, [text("\n"), text(""), finish()]), [finish()])
  t.strictSame(
    through(true, [text("\n<|EOT|>"), finish()]).map(({ type }) => type),
    ["finish"],
  )
  t.end()
})

test("each choice has its own text, and other deltas pass", (t) => {
  const other: Delta = { type: "other", raw: { choices: [{ index: 0 }] } }
  const reasoning: Delta = { type: "reasoning", index: 0, text: "hm <|EOT|>" }
  const deltas = through(true, [text("a<|EO"), reasoning, text("b<|EOT|>", 1), text("T|>"), other, finish(), finish(1)])
  t.equal(textIn(deltas.filter((delta) => "index" in delta && delta.index === 0)), "a")
  t.equal(textIn(deltas.filter((delta) => "index" in delta && delta.index === 1)), "b")
  t.ok(deltas.includes(reasoning))
  t.notOk(deltas.includes(other), "but for what says nothing")
  t.end()
})
