/** Edited Anthropic streams: blocks keep what was not edited, and stay a message that the SDKs can read. */
import { type Test, test } from "tap"
import { isObject, type JsonObject } from "../../../lib/base/json.ts"
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

const dialect = dialectNamed("anthropic-messages")

function events(...list: JsonObject[]): string {
  return list.map((json) => `event: ${json.type}\ndata: ${JSON.stringify(json)}\n\n`).join("")
}

const start = (index: number, block: JsonObject): JsonObject => ({
  type: "content_block_start",
  index,
  content_block: block,
})
const delta = (index: number, json: JsonObject): JsonObject => ({ type: "content_block_delta", index, delta: json })
const text = (index: number, said: string): JsonObject => delta(index, { type: "text_delta", text: said })
const stop = (index: number): JsonObject => ({ type: "content_block_stop", index })

const BEGIN: JsonObject = {
  type: "message_start",
  message: {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "claude",
    content: [],
    container: { id: "container_1", expires_at: "t" },
    stop_reason: null,
    usage: {
      input_tokens: 5,
      cache_read_input_tokens: 10,
      cache_creation_input_tokens: 0,
      output_tokens: 1,
      service_tier: "standard",
    },
  },
}
const END: JsonObject = {
  type: "message_delta",
  delta: { stop_reason: "tool_use", stop_sequence: null, stop_details: { why: "x" }, container: { id: "container_1" } },
  usage: { output_tokens: 9, server_tool_use: { web_search_requests: 1 } },
  context_management: { applied_edits: [] },
}
const LAST: JsonObject = { type: "message_stop", "amazon-bedrock-invocationMetrics": { inputTokenCount: 5 } }

/** A message with all that no delta of ours tells. */
const RICH = events(
  BEGIN,
  start(0, { type: "thinking", thinking: "", signature: "" }),
  { type: "ping" },
  delta(0, { type: "thinking_delta", thinking: "why secret", estimated_tokens: 3 }),
  delta(0, { type: "signature_delta", signature: "SIG" }),
  stop(0),
  start(1, { type: "redacted_thinking", data: "HIDDEN" }),
  stop(1),
  start(2, { type: "server_tool_use", id: "srv", name: "web_search", input: {}, caller: { type: "direct" } }),
  delta(2, { type: "input_json_delta", partial_json: '{"q":"x"}' }),
  stop(2),
  start(3, { type: "web_search_tool_result", tool_use_id: "srv", content: [{ encrypted_content: "E" }] }),
  stop(3),
  start(4, { type: "text", text: "", citations: [], future: 1 }),
  text(4, "a secret"),
  delta(4, { type: "citations_delta", citation: { cited_text: "x", encrypted_index: "i" } }),
  text(4, " and more"),
  stop(4),
  start(5, { type: "tool_use", id: "t1", name: "f", input: {}, caller: { type: "direct" } }),
  delta(5, { type: "input_json_delta", partial_json: '{"a":"secret"}' }),
  stop(5),
  start(6, { type: "tool_use", id: "t2", name: "g", input: {}, caller: { type: "direct" } }),
  stop(6),
  { type: "future_event", note: "kept" },
  END,
  LAST,
)

/** One block at a time, numbered from 0, between the start and the end of the message. */
function isMessage(t: Test, stream: string): void {
  const list = linesOf(stream).filter(isObject)
  let open: unknown
  let next = 0
  for (const json of list) {
    if (json.type === "content_block_start") {
      t.equal(open, undefined, "one block at a time")
      t.equal(json.index, next++)
      open = json.index
    } else if (json.type === "content_block_delta") t.equal(json.index, open)
    else if (json.type === "content_block_stop") {
      t.equal(json.index, open)
      open = undefined
    }
  }
  t.equal(open, undefined)
  t.equal(list[0]?.type, "message_start")
  t.equal(list.at(-1)?.type, "message_stop")
  t.equal(list.filter(({ type }) => type === "message_delta").length, 1)
}

const edit = (fn: StoppingEdit): string => editStream(dialect, Buffer.from(RICH), fn)

test("an edit of one text changes that text, and no other byte: container, caller, stop_details, signatures, citations", async (t) => {
  const one: StoppingEdit = (told) => (told.type === "text" ? redacts(told) : [told])
  t.equal(edit(one), RICH.replace("a secret", "a ***"))
})

test("an edit of all that is told changes it alone, at every split of the bytes", async (t) => {
  t.equal(edit(redacts), redacted(RICH))
  const bytes = Buffer.from(RICH)
  const cuts = Array.from({ length: Math.ceil(bytes.length / 3) }, (_, at) => at * 3)
  t.equal(
    cuts.find((cut) => editStream(dialect, bytes, redacts, [cut]) !== redacted(RICH)),
    undefined,
    "no cut makes a difference",
  )
})

test("a redactor that holds text back across events lets nothing through, and each text stays in its block", async (t) => {
  const cut = RICH.replace('"a secret"', '"a sec"')
    .replace('" and more"', '"ret and more"')
    .replace('"why secret"', '"why sec"')
  const stream = editStream(dialect, Buffer.from(cut), redactsAcross())
  const { completion } = told(dialect, stream)
  t.match(completion, { text: "a *** and more", reasoning: "why sec", toolCalls: [{ name: "f" }, { name: "g" }] })
  isMessage(t, stream)
  t.equal(stream.split('"content_block_start"').length, RICH.split('"content_block_start"').length, "no block more")
  t.match(stream, '"signature":"SIG"')
})

test("text that is held to the end comes in its own block, with what stands beside it", async (t) => {
  const stream = edit(holdsAll())
  isMessage(t, stream)
  t.equal(told(dialect, stream).completion.text, "a secret and more")
  t.match(stream, '"index":6,"content_block":{"type":"text","text":"","citations":[],"future":1}')
  t.match(stream, '"index":6,"delta":{"type":"citations_delta"')
  t.match(told(dialect, stream).completion.usage, told(dialect, RICH).completion.usage)
})

test("a block from which all is taken is gone, and the others move up", async (t) => {
  const noCalls = edit((told) => (told.type === "toolCall" && told.call === 0 ? [] : [told]))
  isMessage(t, noCalls)
  t.notMatch(noCalls, '"t1"')
  t.match(
    noCalls,
    '"index":5,"content_block":{"type":"tool_use","id":"t2","name":"g","input":{},"caller":{"type":"direct"}}',
  )
  const noText = edit((told) => (told.type === "text" ? [] : [told]))
  isMessage(t, noText)
  t.notMatch(noText, '"citations"')
  const noHidden = edit((told) => (told.type === "other" && JSON.stringify(told.raw).includes("HIDDEN") ? [] : [told]))
  isMessage(t, noHidden)
  t.equal(noHidden.includes("HIDDEN"), false)
  t.match(noHidden, '"index":1,"content_block":{"type":"server_tool_use"')
})

test("what an addon adds gets a block of its own, where no other is open", async (t) => {
  const adds = edit((told) => {
    if (told.type === "toolCall" && told.name === "f") return [{ type: "text", index: 0, text: "wait" }, told]
    if (told.type === "finish")
      return [{ type: "toolCall", index: 0, call: 7, id: "t9", name: "h", arguments: '{"b":1}' }, told]
    return told.type === "reasoning" ? [told, { type: "text", index: 0, text: "hm" }] : [told]
  })
  isMessage(t, adds)
  const { completion } = told(dialect, adds)
  t.equal(completion.text, "hma secret and morewait")
  t.match(completion.toolCalls, [{ name: "f" }, { name: "g" }, { name: "h", id: "t9", arguments: '{"b":1}' }])
  t.ok(adds.indexOf('"hm"') < adds.indexOf("HIDDEN"), "as soon as the block before it has ended")
})

test("reasoning that becomes text leaves in a block of its own", async (t) => {
  const stream = edit((told) =>
    told.type === "reasoning" ? [{ ...told, type: "text" }] : told.type === "other" ? [] : [told],
  )
  isMessage(t, stream)
  t.match(told(dialect, stream).completion, { text: "why secreta secret and more", reasoning: "" })
})

test("calls that are held back whole keep their block", async (t) => {
  const held = new Map<number, Delta>()
  const stream = edit((told) => {
    if (told.type === "finish") return [...held.values(), told]
    if (told.type !== "toolCall") return [told]
    const known = held.get(told.call)
    const before = known?.type === "toolCall" ? known : { ...told, arguments: "" }
    held.set(told.call, { ...before, name: "renamed", arguments: before.arguments + told.arguments })
    return []
  })
  isMessage(t, stream)
  t.match(told(dialect, stream).completion.toolCalls, [
    { id: "t1", name: "renamed", arguments: '{"a":"secret"}' },
    { id: "t2", name: "renamed", arguments: "{}" },
  ])
  t.equal(stream.split('"caller"').length, RICH.split('"caller"').length)
})

test("another name, another end and another usage are written where they stand", async (t) => {
  const stream = edit((told) => {
    if (told.type === "toolCall" && told.name === "f") return [{ ...told, name: "h" }]
    if (told.type === "finish") return [{ ...told, reason: { unified: "length", raw: undefined } }]
    const more = 4 + (told.type === "usage" ? (told.usage.outputTokens ?? 0) : 0)
    return told.type === "usage" ? [{ ...told, usage: { ...told.usage, outputTokens: more } }] : [told]
  })
  const expected = RICH.replace('"name":"f"', '"name":"h"')
    .replace('"stop_reason":"tool_use"', '"stop_reason":"max_tokens"')
    .replace('"output_tokens":1,', '"output_tokens":5,')
    .replace('"output_tokens":9,', '"output_tokens":13,')
  t.equal(stream, expected)
})

test("an answer that is ended by its addon closes what is open", async (t) => {
  const stream = edit((told, end) => {
    if (told.type !== "text") return [told]
    end()
    return [told, { type: "finish", index: 0, reason: { unified: "length", raw: "length" } }]
  })
  isMessage(t, stream)
  t.ok(
    stream.startsWith(
      RICH.slice(
        0,
        RICH.indexOf(
          'event: content_block_delta\ndata: {"type":"content_block_delta","index":4,"delta":{"type":"citations',
        ),
      ),
    ),
  )
  t.match(told(dialect, stream).completion, { text: "a secret", finishReason: { unified: "length" } })
})
