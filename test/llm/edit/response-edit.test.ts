/** Edited Responses: an edited text is edited wherever the stream says it again, and everything else stays. */
import { type Test, test } from "tap"
import { arrayOf, isObject, type JsonObject, objectOf } from "../../../lib/base/json.ts"
import { dialectNamed } from "../../../lib/llm/index.ts"
import type { Delta } from "../../../lib/llm/model.ts"
import {
  editStream,
  holdsAll,
  linesOf,
  redacted,
  redacts,
  redactsAcross,
  type StoppingEdit,
  told,
} from "../../helpers/llm/edited-streams.ts"

const dialect = dialectNamed("openai-responses")

/** Events with their numbers, as OpenAI sends them. */
function events(...list: JsonObject[]): string {
  return list
    .map(
      ({ type, ...json }, at) => `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: at, ...json })}\n\n`,
    )
    .join("")
}

const HEAD = {
  id: "resp_1",
  object: "response",
  created_at: 7,
  model: "gpt",
  service_tier: "default",
  future: { kept: 1 },
}
const USAGE = {
  input_tokens: 3,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 4,
  total_tokens: 7,
  cost: 1,
}

const REASONING: JsonObject = {
  id: "rs_1",
  type: "reasoning",
  summary: [{ type: "summary_text", text: "why secret" }],
  encrypted_content: "ENC",
}
const SEARCH: JsonObject = { id: "ws_1", type: "web_search_call", status: "completed", action: { query: "news" } }
const PART: JsonObject = {
  type: "output_text",
  text: "a secret and more",
  annotations: [{ type: "url_citation", url: "u" }],
  logprobs: [{ token: "a secret and more", logprob: -1 }],
}
const MESSAGE: JsonObject = {
  id: "msg_1",
  type: "message",
  status: "completed",
  role: "assistant",
  phase: "final",
  content: [PART],
}
const call = (id: string, args: string): JsonObject => ({
  id: `fc_${id}`,
  type: "function_call",
  status: "completed",
  call_id: `call_${id}`,
  name: "f",
  arguments: args,
})
const place = (id: string, index: number): JsonObject => ({ item_id: id, output_index: index, content_index: 0 })
const textDelta = (delta: string): JsonObject => ({
  type: "response.output_text.delta",
  ...place("msg_1", 2),
  delta,
  logprobs: [{ token: delta, logprob: -1 }],
  obfuscation: "x",
})

/** A response with all that no delta of ours tells. */
const RICH = events(
  { type: "response.created", response: { ...HEAD, status: "in_progress", output: [], usage: null } },
  { type: "response.output_item.added", output_index: 0, item: { ...REASONING, summary: [], encrypted_content: "E" } },
  {
    type: "response.reasoning_summary_part.added",
    item_id: "rs_1",
    output_index: 0,
    summary_index: 0,
    part: { type: "summary_text", text: "" },
  },
  {
    type: "response.reasoning_summary_text.delta",
    item_id: "rs_1",
    output_index: 0,
    summary_index: 0,
    delta: "why secret",
  },
  {
    type: "response.reasoning_summary_text.done",
    item_id: "rs_1",
    output_index: 0,
    summary_index: 0,
    text: "why secret",
  },
  {
    type: "response.reasoning_summary_part.done",
    item_id: "rs_1",
    output_index: 0,
    summary_index: 0,
    part: { type: "summary_text", text: "why secret" },
  },
  { type: "response.output_item.done", output_index: 0, item: REASONING },
  { type: "response.output_item.added", output_index: 1, item: { ...SEARCH, status: "in_progress" } },
  { type: "response.web_search_call.searching", output_index: 1, item_id: "ws_1" },
  { type: "response.output_item.done", output_index: 1, item: SEARCH },
  { type: "response.output_item.added", output_index: 2, item: { ...MESSAGE, status: "in_progress", content: [] } },
  {
    type: "response.content_part.added",
    ...place("msg_1", 2),
    part: { ...PART, text: "", annotations: [], logprobs: [] },
  },
  textDelta("a secret"),
  {
    type: "response.output_text.annotation.added",
    ...place("msg_1", 2),
    annotation_index: 0,
    annotation: { type: "url_citation", url: "u" },
  },
  textDelta(" and more"),
  { type: "response.output_text.done", ...place("msg_1", 2), text: PART.text, logprobs: PART.logprobs },
  { type: "response.content_part.done", ...place("msg_1", 2), part: PART },
  { type: "response.output_item.done", output_index: 2, item: MESSAGE },
  { type: "response.output_item.added", output_index: 3, item: { ...call("1", ""), status: "in_progress" } },
  { type: "response.function_call_arguments.delta", item_id: "fc_1", output_index: 3, delta: '{"a":"secret"}' },
  {
    type: "response.function_call_arguments.done",
    item_id: "fc_1",
    output_index: 3,
    name: "f",
    arguments: '{"a":"secret"}',
  },
  { type: "response.output_item.done", output_index: 3, item: call("1", '{"a":"secret"}') },
  { type: "response.output_item.added", output_index: 4, item: { ...call("2", ""), status: "in_progress" } },
  { type: "response.function_call_arguments.delta", item_id: "fc_2", output_index: 4, delta: "{}" },
  { type: "response.function_call_arguments.done", item_id: "fc_2", output_index: 4, arguments: "{}" },
  { type: "response.output_item.done", output_index: 4, item: call("2", "{}") },
  { type: "response.future", note: "kept" },
  {
    type: "response.completed",
    response: {
      ...HEAD,
      status: "completed",
      output: [REASONING, SEARCH, MESSAGE, call("1", '{"a":"secret"}'), call("2", "{}")],
      usage: USAGE,
    },
  },
)

const edit = (fn: StoppingEdit): string => editStream(dialect, Buffer.from(RICH), fn)

/** Numbers without a gap, items that are opened and closed one after the other, and an end that says the same. */
function isResponse(t: Test, stream: string): void {
  const list = linesOf(stream).filter(isObject)
  t.strictSame(
    list.map(({ sequence_number: number }) => number),
    list.map((_, at) => at),
  )
  const items: unknown[] = []
  let open: unknown
  for (const json of list) {
    if (json.type === "response.output_item.added") {
      t.equal(open, undefined, "one item at a time")
      open = json.output_index
      t.equal(open, items.length)
    } else if (json.type === "response.output_item.done") {
      t.equal(json.output_index, open)
      items.push(json.item)
      open = undefined
    } else if (json.output_index !== undefined) t.equal(json.output_index, open, String(json.type))
  }
  t.equal(open, undefined)
  t.strictSame(arrayOf(objectOf(list.at(-1)?.response)?.output), items)
}

const withoutTokens = (text: string) =>
  text.replaceAll(/"logprobs":\[\{"token":"[^"]*(?:secret|\*\*\*)[^"]*","logprob":-1\}\]/g, '"logprobs":[]')

test("an edit of one text changes it wherever the stream says it, and nothing else", async (t) => {
  const one: StoppingEdit = (told) => (told.type === "text" ? redacts(told) : [told])
  const expected = withoutTokens(RICH).replaceAll("a secret", "a ***")
  t.equal(edit(one), expected)
})

test("an edit of all that is told changes it alone, at every split of the bytes", async (t) => {
  const expected = withoutTokens(redacted(RICH))
  t.equal(edit(redacts), expected)
  const bytes = Buffer.from(RICH)
  const cuts = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, at) => at * 7)
  t.equal(
    cuts.find((cut) => editStream(dialect, bytes, redacts, [cut]) !== expected),
    undefined,
    "no cut makes a difference",
  )
})

test("a redactor that holds text back across events lets nothing through, and each text stays in its item", async (t) => {
  const cut = RICH.replaceAll('"a secret"', '"a sec"').replaceAll('" and more"', '"ret and more"')
  const stream = editStream(dialect, Buffer.from(cut.replaceAll("a secret and", "a secret and")), redactsAcross())
  t.notMatch(stream.replaceAll('{\\"a\\":\\"secret\\"}', ""), "secret", "but in a call, which it does not read")
  t.notMatch(stream, /"token":"[^"]*sec/)
  const { completion } = told(dialect, stream)
  t.match(completion, { text: "a *** and more", reasoning: "why ***", toolCalls: [{ name: "f" }, { name: "f" }] })
  isResponse(t, stream)
  t.equal(stream.split("output_item.added").length, RICH.split("output_item.added").length, "no item more")
})

test("text that is held to the end comes in its own item, with what stands beside it", async (t) => {
  const stream = edit(holdsAll())
  isResponse(t, stream)
  t.match(told(dialect, stream).completion, { text: "a secret and more", usage: { inputTokens: 3, outputTokens: 4 } })
  t.match(stream, '"output_index":4,"item":{"id":"msg_1"')
  t.match(stream, /"type":"response.output_text.annotation.added".*"output_index":4/)
  t.match(
    stream,
    '"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":0},"output_tokens":4,"total_tokens":7,"cost":1}',
  )
})

test("an item from which all is taken is gone, and the others move up", async (t) => {
  const noCall = edit((told) => (told.type === "toolCall" && told.call === 0 ? [] : [told]))
  isResponse(t, noCall)
  t.notMatch(noCall, "fc_1")
  t.match(noCall, '"output_index":3,"item":{"id":"fc_2"')
  const noText = edit((told) => (told.type === "text" ? [] : [told]))
  isResponse(t, noText)
  t.notMatch(noText, "msg_1")
  const noSearch = edit((told) => (told.type === "other" && JSON.stringify(told.raw).includes("ws_1") ? [] : [told]))
  isResponse(t, noSearch)
  t.notMatch(noSearch, "ws_1")
  t.match(noSearch, '"output_index":1,"item":{"id":"msg_1"')
})

test("what an addon adds gets an item of its own, where no other is open", async (t) => {
  const adds = edit((told) => {
    if (told.type === "finish")
      return [{ type: "toolCall", index: 0, call: 7, id: "call_9", name: "h", arguments: '{"b":1}' }, told]
    return told.type === "reasoning" ? [told, { type: "text", index: 0, text: "hm" }] : [told]
  })
  isResponse(t, adds)
  const { completion } = told(dialect, adds)
  t.equal(completion.text, "hma secret and more")
  t.match(completion.toolCalls, [{ name: "f" }, { name: "f" }, { name: "h", id: "call_9", arguments: '{"b":1}' }])
})

test("calls that are held back whole keep their item", async (t) => {
  const held = new Map<number, Delta>()
  const stream = edit((told) => {
    if (told.type === "finish") return [...held.values(), told]
    if (told.type !== "toolCall") return [told]
    const known = held.get(told.call)
    const before = known?.type === "toolCall" ? known : { ...told, arguments: "" }
    held.set(told.call, { ...before, name: "renamed", arguments: before.arguments + told.arguments })
    return []
  })
  isResponse(t, stream)
  t.match(told(dialect, stream).completion.toolCalls, [
    { id: "call_1", name: "renamed", arguments: '{"a":"secret"}' },
    { id: "call_2", name: "renamed", arguments: "{}" },
  ])
  t.notMatch(stream, '"name":"f"')
  t.match(stream, '"id":"fc_1"')
})

test("another name, another end and another usage are written wherever they stand", async (t) => {
  const stream = edit((told) => {
    if (told.type === "toolCall" && told.name !== undefined) return [{ ...told, name: "h" }]
    if (told.type === "finish") return [{ ...told, reason: { unified: "length", raw: undefined } }]
    return told.type === "usage" ? [{ ...told, usage: { ...told.usage, outputTokens: 9 } }] : [told]
  })
  const last = RICH.lastIndexOf("event:")
  const end = RICH.slice(last)
    .replaceAll("response.completed", "response.incomplete")
    .replace('"status":"completed"', '"status":"incomplete"')
    .replace('"output_tokens":4', '"output_tokens":9')
    .replace(
      '"total_tokens":7,"cost":1}',
      '"total_tokens":12,"cost":1},"incomplete_details":{"reason":"max_output_tokens"}',
    )
  t.equal(stream, (RICH.slice(0, last) + end).replaceAll('"name":"f"', '"name":"h"'))
})

test("a response that only its end tells is edited there, and keeps the rest", async (t) => {
  const output = [REASONING, SEARCH, MESSAGE, call("1", '{"a":"secret"}')]
  const stream = events({
    type: "response.completed",
    response: { ...HEAD, status: "completed", output, usage: USAGE },
  })
  t.equal(editStream(dialect, Buffer.from(stream), redacts), withoutTokens(redacted(stream)))
  const noCall = editStream(dialect, Buffer.from(stream), (told) => (told.type === "toolCall" ? [] : [told]))
  t.equal(noCall, stream.replace(`,${JSON.stringify(call("1", '{"a":"secret"}'))}`, ""))
})

test("an answer that is ended by its addon closes what is open", async (t) => {
  const stream = edit((told, end) => {
    if (told.type !== "text") return [told]
    end()
    return [told, { type: "finish", index: 0, reason: { unified: "length", raw: "length" } }]
  })
  isResponse(t, stream)
  t.match(told(dialect, stream), { completion: { text: "a secret", finishReason: { unified: "length" } }, done: true })
  t.match(stream, '"encrypted_content":"ENC"')
})

test("encrypted reasoning that an addon drops is nowhere", async (t) => {
  const item = { id: "rs_1", type: "reasoning", summary: [], encrypted_content: "ENC" }
  const stream = events(
    { type: "response.output_item.added", output_index: 0, item: { ...item, encrypted_content: undefined } },
    { type: "response.output_item.done", output_index: 0, item },
    { type: "response.completed", response: { ...HEAD, status: "completed", output: [item], usage: USAGE } },
  )
  const text = editStream(dialect, Buffer.from(stream), (told) => (told.type === "other" ? [] : [told]))
  t.equal(text, stream.replaceAll(',"encrypted_content":"ENC"', ""))
})

test("a response that fails says nothing again that was edited, or that nobody was told", (t) => {
  const unseen = { ...MESSAGE, id: "msg_9", content: [{ ...PART, text: "an unseen secret" }] }
  const failed = {
    ...HEAD,
    status: "failed",
    error: { code: "server_error", message: "broke" },
    output: [MESSAGE, SEARCH, unseen],
    output_text: "a secret and morean unseen secret",
  }
  const stream = events(
    { type: "response.created", response: HEAD },
    { type: "response.output_item.added", output_index: 0, item: { ...MESSAGE, status: "in_progress", content: [] } },
    {
      type: "response.output_text.delta",
      output_index: 0,
      item_id: "msg_1",
      content_index: 0,
      delta: "a secret and more",
    },
    { type: "response.failed", response: failed },
  )
  const out = editStream(dialect, Buffer.from(stream), redacts)
  t.notMatch(out, "secret")
  const last = linesOf(out).findLast((line) => line !== "")
  t.match(JSON.stringify(last), "server_error")
  t.match(JSON.stringify(last), "web_search_call")
  t.match(JSON.stringify(last), "and more")
  t.end()
})

test("what is added behind the end or the tokens stands before the response's last event, and in it", async (t) => {
  const stream = edit((told) =>
    told.type === "finish" || told.type === "usage"
      ? [told, { type: "text", index: 0, text: `${told.type}.` }]
      : [told],
  )
  isResponse(t, stream)
  const last = linesOf(stream).findLast(isObject)
  t.equal(last?.type, "response.completed")
  t.match(JSON.stringify(objectOf(last?.response)?.output), '"text":"finish.usage."')
  t.equal(told(dialect, stream).completion.text, "a secret and morefinish.usage.")
})
