/** Edited Anthropic streams: blocks keep what was not edited, and stay a message that the SDKs can read. */
import { type Test, test } from "tap"
import { isObject, type JsonObject } from "../../../lib/base/json.ts"
import { dialectNamed } from "../../../lib/llm/index.ts"
import { type Delta, NO_USAGE } from "../../../lib/llm/model.ts"
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
  t.equal(stream.split('"input":{}').length, RICH.split('"input":{}').length, "the arguments stand in a piece")
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

/** A stream of blocks between the start and the end of a message. */
const messageOf = (...list: JsonObject[]): string => events(BEGIN, ...list, END, LAST)
const edited = (stream: string, fn: StoppingEdit): string => editStream(dialect, Buffer.from(stream), fn)
const json = (index: number, partial_json: string): JsonObject =>
  delta(index, { type: "input_json_delta", partial_json })
const CALL: JsonObject = { type: "tool_use", id: "t1", name: "f", input: {} }
const TEXT: JsonObject = { type: "text", text: "" }

test("a call whose first delta is dropped keeps its name, where its arguments pass", async (t) => {
  const stream = edit((told) => (told.type === "toolCall" && told.name !== undefined ? [] : [told]))
  t.equal(stream, RICH.replace(events(stop(6)), events(json(6, "{}"), stop(6))))
})

test("the arguments of a call that has none are changed in a piece of their own", async (t) => {
  const stream = edit((told) =>
    told.type === "toolCall" && told.arguments === "{}" ? [{ ...told, arguments: '{"b":2}' }] : [told],
  )
  t.equal(stream, RICH.replace(events(stop(6)), events(json(6, '{"b":2}'), stop(6))))
})

/** Another of what no delta tells. */
const changesOthers = (told: Delta): Delta[] => {
  const changed = (text: string) => text.replace("HIDDEN", "SHOWN").replace('"cited_text":"x"', '"cited_text":"y"')
  return [
    told.type === "other"
      ? { ...told, raw: JSON.parse(changed(JSON.stringify(told.raw)).replace("kept", "new")) }
      : told,
  ]
}

test("what no delta tells is replaced where it stands", async (t) => {
  const expected = RICH.replace("HIDDEN", "SHOWN")
    .replace('"cited_text":"x"', '"cited_text":"y"')
    .replace("kept", "new")
  t.equal(edit(changesOthers), expected)
})

test("a citation that waits for its text is the one that the addon made of it", async (t) => {
  const holds = holdsAll()
  const stream = edit((told) => holds(told).flatMap(changesOthers))
  isMessage(t, stream)
  t.match(stream, '"cited_text":"y"')
  t.notMatch(stream, '"cited_text":"x"')
})

test("an event of a kind that we do not know goes with its block", async (t) => {
  const note = (index: number): JsonObject => ({ type: "future_block_event", index, note: `of ${index}` })
  const hidden = [start(0, { type: "redacted_thinking", data: "HIDDEN" }), note(0), stop(0)]
  const stream = messageOf(...hidden, start(1, TEXT), note(1), text(1, "hi"), note(1), stop(1))
  t.equal(
    edited(stream, (told) => [{ ...told }]),
    stream,
  )
  const isHidden = (told: Delta) => told.type === "other" && JSON.stringify(told.raw).includes("HIDDEN")
  const moved = { ...note(1), index: 0 }
  t.equal(
    edited(stream, (told) => (isHidden(told) ? [] : [told])),
    messageOf(start(0, TEXT), moved, text(0, "hi"), moved, stop(0)),
  )
})

test("the end of a block that never began has the number of those around it", async (t) => {
  const stream = messageOf(start(0, { type: "redacted_thinking", data: "HIDDEN" }), stop(0), stop(1))
  const drops: StoppingEdit = (told) => (told.type === "other" ? [] : [told])
  t.equal(edited(stream, drops), messageOf(stop(0)))
})

test("pieces whose block never began keep its number, also where all of them are taken", async (t) => {
  const stream = messageOf(text(0, "a"), stop(0), json(1, '{"a":"secret"}'), stop(1), text(2, "secret"), stop(2))
  t.equal(edited(stream, redacts), redacted(stream))
  const drops: StoppingEdit = (told) => ("text" in told && told.text === "secret" ? [] : [told])
  t.equal(edited(stream, drops), stream.replace(events(text(2, "secret")), ""))
})

test("tokens that are told beside a text are told with the end", async (t) => {
  const adds: StoppingEdit = (told) =>
    told.type === "text"
      ? [told, { type: "usage", usage: { ...NO_USAGE, outputTokens: 90, source: "provider" } }]
      : [told]
  const block = [start(0, TEXT), text(0, "hi"), stop(0)]
  const stream = edited(messageOf(...block), adds)
  isMessage(t, stream)
  t.equal(told(dialect, stream).completion.usage.outputTokens, 90)
  const noEnd = edited(events(BEGIN, ...block, LAST), adds)
  isMessage(t, noEnd)
  t.match(told(dialect, noEnd).completion, { text: "hi", usage: { outputTokens: 90 } })
  const noCounts = edited(events(BEGIN, ...block, { ...END, usage: undefined }, LAST), adds)
  t.equal(told(dialect, noCounts).completion.usage.outputTokens, 90)
})

test("what is added waits for a block of its kind that has begun and has had no text yet", async (t) => {
  const stream = messageOf(start(0, TEXT), start(1, CALL), json(1, "{}"), stop(1), stop(0))
  const adds: StoppingEdit = (told) =>
    told.type === "toolCall" && told.arguments === "{}" ? [told, { type: "text", index: 0, text: "hi" }] : [told]
  t.equal(
    edited(stream, adds),
    messageOf(start(1, CALL), json(1, "{}"), stop(1), start(0, TEXT), text(0, "hi"), stop(0)),
  )
})

test("what is added stands within the message, and one after the other in one block", async (t) => {
  let count = 0
  const adds: StoppingEdit = (told) =>
    told.type === "usage" || told.type === "finish"
      ? [
          { type: "reasoning", index: 0, text: `${++count}.` },
          told,
          { type: "reasoning", index: 0, text: `${++count}.` },
        ]
      : [told]
  const thought = (index: number, ...texts: string[]): JsonObject[] => [
    start(index, { type: "thinking", thinking: "", signature: "" }),
    ...texts.map((thinking) => delta(index, { type: "thinking_delta", thinking })),
    stop(index),
  ]
  const block = (index: number): JsonObject[] => [start(index, TEXT), text(index, "hi"), stop(index)]
  t.equal(
    edited(messageOf(...block(0)), adds),
    messageOf(...thought(0, "1.2."), ...block(1), ...thought(2, "3.4.5.6.")),
  )
  count = 0
  t.equal(edited(messageOf(), adds), messageOf(...thought(0, "1.2.", "3.4.5.6.")))
})

test("a call that came whole with its start is changed there, wherever an addon lets it go", async (t) => {
  const whole = { ...CALL, input: { a: 1 } }
  const stream = messageOf(start(0, whole), stop(0), { type: "future_event", note: "kept" })
  for (const letsGo of ["other", "finish"]) {
    const held: Delta[] = []
    const holds: StoppingEdit = (told) => {
      if (told.type === "toolCall") held.push({ ...told, name: "g", arguments: '{"b":2}' })
      if (told.type === "toolCall") return []
      return told.type === letsGo ? [...held.splice(0), told] : [told]
    }
    const left = edited(stream, holds)
    isMessage(t, left)
    t.match(left, '"content_block":{"type":"tool_use","id":"t1","name":"g","input":{"b":2}}')
    t.match(told(dialect, left).completion.toolCalls, [{ id: "t1", name: "g", arguments: '{"b":2}' }])
    t.notMatch(left, "input_json_delta", "and nowhere else")
  }
})

test("blocks without numbers are counted where an addon adds one", async (t) => {
  const bare = [start(0, TEXT), text(0, "a"), stop(0)].map(({ index: _, ...event }): JsonObject => event)
  const left = edited(messageOf(...bare, ...bare), (told) =>
    told.type === "finish" ? [{ type: "reasoning", index: 0, text: "hm" }, told] : [told],
  )
  t.ok(left.startsWith(events(BEGIN, ...bare, ...bare)))
  t.match(left, '"index":2,"content_block":{"type":"thinking"')
})

test("a block that is still open when the message ends is closed where something is added", async (t) => {
  const stream = messageOf(start(0, TEXT), text(0, "a"))
  t.equal(
    edited(stream, (told) => [{ ...told }]),
    stream,
  )
  const left = edited(stream, (told) =>
    told.type === "text" ? [told, { type: "reasoning", index: 0, text: "hm" }] : [told],
  )
  isMessage(t, left)
  t.match(told(dialect, left).completion, { text: "a", reasoning: "hm" })
})

test("a call that is added has an id and a name, as SDKs demand", async (t) => {
  const bare: Delta = { type: "toolCall", index: 0, call: 7, id: undefined, name: undefined, arguments: "{}" }
  const left = edited(messageOf(start(0, TEXT), text(0, "a"), stop(0)), (told) =>
    told.type === "finish" ? [bare, { ...bare, call: 8, name: "g" }, told] : [told],
  )
  isMessage(t, left)
  const calls = linesOf(left).flatMap((line) =>
    isObject(line) && isObject(line.content_block) ? line.content_block : [],
  )
  t.match(calls.slice(1), [
    { type: "tool_use", id: "toolu_made-id_7", name: "", input: {} },
    { type: "tool_use", id: "toolu_made-id_8", name: "g", input: {} },
  ])
})

test("an event without what its kind has passes as it came", async (t) => {
  const stream = messageOf(start(0, TEXT), { type: "content_block_delta", index: 0 }, text(0, "a secret"), stop(0))
  t.equal(edited(stream, redacts), redacted(stream))
})
