import assert from "node:assert/strict"
import { test } from "tap"
import { retryFilter, watch } from "../../../addons/requery/watch.ts"
import type { Delta } from "../../../lib/llm/model.ts"

const text = (said: string): Delta => ({ type: "text", index: 0, text: said })
const FINISH: Delta = { type: "finish", index: 0, reason: { unified: "length", raw: "length" } }
const LOOP = "Round and round. ".repeat(40)

test("a raw prompt's continuation loses the mark that ends its turn, and has then stopped by itself", async () => {
  const { transform } = retryFilter(true)
  const made = [text("a"), text("\n<|EO"), text("T|> more"), FINISH].map((delta) => transform(delta))
  assert.deepEqual(made.flat(), [
    text("a"),
    undefined,
    undefined,
    { ...FINISH, reason: { unified: "stop", raw: "stop" } },
  ])
  const open = retryFilter(true)
  assert.deepEqual(
    [text("a\n<|E"), FINISH].flatMap((delta) => open.transform(delta)),
    [text("a"), text("\n<|E"), FINISH],
  )
  assert.deepEqual(retryFilter(true).transform({ type: "other", raw: 1 }), { type: "other", raw: 1 })
})

test("without marks everything passes, until it loops", async () => {
  const filter = retryFilter(false)
  for (const delta of [text("a\n<|EOT|>"), FINISH]) assert.equal(filter.transform(delta), delta)
  assert.throws(() => filter.transform(text(LOOP)), /goes round in circles/)
  assert.equal(filter.looped, true)
})

test("an answer is ended once, at its loop or its empty list, and passes as it is until then", async () => {
  const ended: string[] = []
  const loops = watch([], true)
  const first = text("fine")
  assert.equal(
    loops.transform(first, () => ended.push("early")),
    first,
  )
  assert.deepEqual(
    loops.transform(text(LOOP), () => ended.push("loop")),
    [text(LOOP), FINISH],
  )
  const lists = watch(["plan"], false)
  assert.equal(
    lists.transform(FINISH, () => ended.push("early")),
    FINISH,
  )
  lists.transform(text('{"plan": ['), () => ended.push("early"))
  lists.transform(text("]"), () => ended.push("list"))
  assert.equal(lists.closedEmpty, "plan")
  assert.deepEqual(ended, ["loop", "list"])
})

test("a list is not told empty behind prose, in a second object, or where the plan's end may be", async () => {
  for (const said of [
    'So {"plan": []}',
    '{"a": 1} {"plan": []}',
    '{"updated_current_task": 1, "plan": []}',
    `${" ".repeat(80)}{"plan": []}`,
    '{"plan": [1]}',
  ]) {
    const watching = watch(["plan"], true)
    for (const sign of said) watching.transform(text(sign), () => assert.fail(said))
  }
})
