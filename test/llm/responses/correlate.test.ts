import { test } from "tap"
import type { JsonObject } from "../../../lib/base/json.ts"
import { Assembler } from "../../../lib/llm/assemble.ts"
import type { Completion } from "../../../lib/llm/model.ts"
import { openaiResponses } from "../../../lib/llm/responses/responses.ts"

function read(...events: JsonObject[]): Completion {
  const decoder = openaiResponses.decoder()
  const assembler = new Assembler()
  const bytes = events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("")
  for (const event of [...decoder.feed(Buffer.from(bytes)), ...decoder.finish()]) assembler.push(event)
  return assembler.finish(false)
}

const added = (item: JsonObject, place: JsonObject = {}) => ({ type: "response.output_item.added", item, ...place })
const done = (item: JsonObject, place: JsonObject = {}) => ({ type: "response.output_item.done", item, ...place })
const textDelta = (delta: string, place: JsonObject = {}) => ({ type: "response.output_text.delta", delta, ...place })
const textDone = (text: string, place: JsonObject = {}) => ({ type: "response.output_text.done", text, ...place })
const argsDelta = (delta: string, place: JsonObject = {}) => ({
  type: "response.function_call_arguments.delta",
  delta,
  ...place,
})
const argsDone = (json: string, place: JsonObject = {}) => ({
  type: "response.function_call_arguments.done",
  arguments: json,
  ...place,
})
const message = (id: string | undefined, text: string) => ({
  type: "message",
  id,
  content: [{ type: "output_text", text }],
})
const call = (ids: JsonObject, json: string) => ({ type: "function_call", name: "f", arguments: json, ...ids })

test("a Responses stream without output_index is read once: ids tell which item is meant", async (t) => {
  const thought = { type: "reasoning", id: "rs_1", content: [{ type: "reasoning_text", text: "Hm." }] }
  const answer = read(
    added({ type: "reasoning", id: "rs_1" }),
    { type: "response.reasoning_text.delta", delta: "Hm.", item_id: "rs_1" },
    done(thought),
    added({ type: "message", id: "msg_1" }),
    textDelta("He", { item_id: "msg_1" }),
    textDelta("llo", { item_id: "msg_1" }),
    textDone("Hello", { item_id: "msg_1" }),
    done(message("msg_1", "Hello")),
    // llama.cpp: the item has a call_id alone, and `item_id` is that.
    added(call({ call_id: "fc_1" }, "")),
    argsDelta('{"a":', { item_id: "fc_1" }),
    argsDelta("1}", { item_id: "fc_1" }),
    done(call({ call_id: "fc_1" }, '{"a":1}')),
    added(call({ call_id: "fc_2" }, "")),
    argsDone('{"b":2}', { call_id: "fc_2" }),
    done(call({ call_id: "fc_2" }, '{"b":2}')),
  )
  t.equal(answer.reasoning, "Hm.")
  t.equal(answer.text, "Hello")
  t.match(answer.toolCalls, [
    { id: "fc_1", name: "f", arguments: '{"a":1}' },
    { id: "fc_2", name: "f", arguments: '{"b":2}' },
  ])
  t.equal(answer.toolCalls.length, 2)
})

test("a Responses stream with neither index nor ids is read once: what is open is meant", async (t) => {
  const answer = read(
    added({ type: "message" }),
    textDelta("He"),
    textDelta("llo"),
    textDone("Hello"),
    done(message(undefined, "Hello")),
    argsDelta("{}"),
    done(call({ call_id: "a" }, "{}")),
    argsDelta("[]"),
    argsDone("[]"),
    done(call({ call_id: "b" }, "[]")),
  )
  t.equal(answer.text, "Hello")
  t.match(answer.toolCalls, [
    { id: "a", name: "f", arguments: "{}" },
    { id: "b", name: "f", arguments: "[]" },
  ])
  t.equal(answer.toolCalls.length, 2, "a name that comes behind its arguments is told")
})

test("Responses: ids that change with each event, one index for all, and ids that come late are read once", async (t) => {
  const changing = read(
    added({ type: "message", id: "x1" }, { output_index: 0 }),
    textDelta("Hi", { item_id: "x2", output_index: 0 }),
    textDone("Hi", { item_id: "x3", output_index: 0 }),
    done(message("x4", "Hi"), { output_index: 0 }),
  )
  t.equal(changing.text, "Hi")
  const zero = { output_index: 0 }
  const oneIndex = read(
    added(call({ call_id: "a" }, ""), zero),
    argsDelta("{}", zero),
    done(call({ call_id: "a" }, "{}"), zero),
    added(call({ call_id: "b" }, ""), zero),
    argsDelta("{}", zero),
    done(call({ call_id: "b" }, "{}"), zero),
  )
  t.match(oneIndex.toolCalls, [{ id: "a" }, { id: "b" }])
  const late = read(added({ type: "message" }), textDelta("Hi", { item_id: "m" }), done(message("m", "Hi")))
  t.equal(late.text, "Hi")
  const parts = [
    { type: "output_text", text: "He" },
    { type: "output_text", text: "llo" },
  ]
  const unparted = read(textDelta("He"), textDelta("llo"), done({ type: "message", content: parts }))
  t.equal(unparted.text, "Hello", "pieces that do not say their part")
})
