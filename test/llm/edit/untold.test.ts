/** Text that no delta tells does not pass an edit: neither as it came, nor behind a text that was edited. */
import { test } from "tap"
import type { JsonObject } from "../../../lib/base/json.ts"
import { dialectNamed } from "../../../lib/llm/index.ts"
import type { Delta, DialectName } from "../../../lib/llm/model.ts"
import { editStream, redacts, told } from "../../helpers/llm/edited-streams.ts"

/** The bytes between two cuts of a stream. */
const STEP = 11
const SECRET = "a secret"

function events(...list: JsonObject[]): string {
  return list.map((json) => `event: ${json.type}\ndata: ${JSON.stringify(json)}\n\n`).join("")
}

/** The same with the kind in the event's name alone. */
function namedOnly(...list: JsonObject[]): string {
  return list.map(({ type, ...json }) => `event: ${type}\ndata: ${JSON.stringify(json)}\n\n`).join("")
}

const drops = (delta: Delta): Delta[] => ("text" in delta || delta.type === "toolCall" ? [] : [delta])
const same = (delta: Delta): Delta[] => [{ ...delta }]

/** Whatever an addon makes of what it is told, what it would blank out is nowhere; other events keep their bytes. */
function hides(name: DialectName, what: string, stream: string): void {
  const dialect = dialectNamed(name)
  const bytes = Buffer.from(stream)
  test(`${name}: ${what} does not pass unread`, async (t) => {
    const whole = editStream(dialect, bytes, redacts)
    t.notMatch(whole, /secret/)
    t.notMatch(editStream(dialect, bytes, drops), /secret/)
    const untouched = stream.split("\n\n").filter((event) => !event.includes("secret"))
    t.strictSame(
      untouched.filter((event) => !whole.includes(event)),
      [],
    )
    const cuts = Array.from({ length: Math.ceil(bytes.length / STEP) }, (_, at) => at * STEP)
    t.equal(
      cuts.find((cut) => editStream(dialect, bytes, redacts, [cut]) !== whole),
      undefined,
      "no cut makes a difference",
    )
  })
}

/** What says nothing that an addon was not told keeps its bytes. */
function keeps(name: DialectName, what: string, stream: string): void {
  test(`${name}: ${what} passes as it came`, async (t) => {
    t.equal(editStream(dialectNamed(name), Buffer.from(stream), same), stream)
  })
}

const part = (text: string): JsonObject => ({ type: "output_text", text, annotations: [] })
const message = (text: string, more: JsonObject = {}): JsonObject => ({
  id: "msg_1",
  type: "message",
  role: "assistant",
  content: text === "" ? [] : [part(text)],
  ...more,
})
const thought = (text: string, more: JsonObject = {}): JsonObject => ({
  id: "rs_1",
  type: "reasoning",
  summary: text === "" ? [] : [{ type: "summary_text", text }],
  ...more,
})
const call = (args: string, more: JsonObject = {}): JsonObject => ({
  id: "fc_1",
  type: "function_call",
  call_id: "c1",
  name: "f",
  arguments: args,
  ...more,
})
const WHERE: JsonObject = { item_id: "msg_1", output_index: 0, content_index: 0 }
const IN_THOUGHT: JsonObject = { item_id: "rs_1", output_index: 0, summary_index: 0 }
const IN_CALL: JsonObject = { item_id: "fc_1", output_index: 0 }
const begins = (type: string, output: JsonObject[], more: JsonObject = {}): JsonObject => ({
  type,
  response: { id: "r", status: "in_progress", text: { format: { type: "text" } }, output, ...more },
})
const HEAD = begins("response.created", [])
const added = (item: JsonObject): JsonObject => ({ type: "response.output_item.added", output_index: 0, item })
const says = (delta: string, where = WHERE): JsonObject => ({ type: "response.output_text.delta", ...where, delta })
const saidWhole = (text: string, where = WHERE): JsonObject => ({ type: "response.output_text.done", ...where, text })
const partDone = (text: string, where = WHERE): JsonObject => ({
  type: "response.content_part.done",
  ...where,
  part: part(text),
})
const partAdded = (text: string, where = WHERE): JsonObject => ({
  type: "response.content_part.added",
  ...where,
  part: part(text),
})
const done = (item: JsonObject): JsonObject => ({ type: "response.output_item.done", output_index: 0, item })
const completed = (...output: JsonObject[]): JsonObject => ({
  type: "response.completed",
  response: { id: "r", status: "completed", output },
})
/** A message of one piece, as it goes on. */
const hello = (...ending: JsonObject[]): JsonObject[] => [HEAD, added(message("")), says("hello"), ...ending]
const NO_ID = { id: undefined, call_id: undefined }

const RESPONSES: Readonly<Record<string, JsonObject[]>> = {
  "a message in an item that begins": [
    HEAD,
    added(message(SECRET)),
    says(" more"),
    done(message(`${SECRET} more`)),
    completed(message(`${SECRET} more`)),
  ],
  "a message in an item that begins, and no piece of it": [
    HEAD,
    added(message(SECRET)),
    done(message("")),
    completed(),
  ],
  "a text in place of the parts": [HEAD, added(message("", { content: SECRET })), completed()],
  "a summary in an item that begins": [HEAD, added(thought(SECRET)), done(thought(SECRET)), completed(thought(SECRET))],
  "a summary in an item that never ends": [HEAD, added(thought(SECRET)), completed()],
  "arguments in an item that begins": [HEAD, added(call(SECRET)), done(call(SECRET)), completed(call(SECRET))],
  "a text in a part that begins": [
    HEAD,
    added(message("")),
    partAdded(SECRET),
    says(" more"),
    partDone(`${SECRET} more`),
    done(message(`${SECRET} more`)),
    completed(message(`${SECRET} more`)),
  ],
  "a text in a part that begins, and no piece of it": [HEAD, added(message("")), partAdded(SECRET), completed()],
  "a text in a part of no item": [HEAD, partAdded(SECRET), completed()],
  "a summary in a part that begins": [
    HEAD,
    added(thought("")),
    {
      type: "response.reasoning_summary_part.added",
      ...IN_THOUGHT,
      part: { type: "summary_text", text: SECRET },
    },
    { type: "response.reasoning_summary_text.delta", ...IN_THOUGHT, delta: " more" },
    done(thought(`${SECRET} more`)),
    completed(thought(`${SECRET} more`)),
  ],
  "what events without names say whole": [
    HEAD,
    added(message("")),
    says(SECRET),
    saidWhole(SECRET, {}),
    partDone(SECRET, {}),
    { type: "response.output_item.done", item: message(SECRET, NO_ID) },
    completed(message(SECRET, NO_ID)),
  ],
  "what a stream without names says whole": [
    HEAD,
    { type: "response.output_item.added", item: message("", NO_ID) },
    partAdded("", {}),
    says(SECRET, {}),
    saidWhole(SECRET, {}),
    partDone(SECRET, {}),
    { type: "response.output_item.done", item: message(SECRET, NO_ID) },
    completed(message(SECRET, NO_ID)),
  ],
  "a whole part without a name before its text": [HEAD, partDone(SECRET, {}), completed(message(SECRET, NO_ID))],
  "arguments in events without names": [
    HEAD,
    added(call("")),
    { type: "response.function_call_arguments.delta", ...IN_CALL, delta: SECRET },
    { type: "response.function_call_arguments.done", arguments: SECRET },
    { type: "response.output_item.done", item: call(SECRET, NO_ID) },
    completed(call(SECRET, NO_ID)),
  ],
  "what a stream says whole under other names": [
    HEAD,
    { type: "response.output_item.added", item: message("", { id: "m1" }) },
    says(SECRET, { item_id: "m2" }),
    saidWhole(SECRET, { item_id: "m3" }),
    partDone(SECRET, { item_id: "m4" }),
    { type: "response.output_item.done", item: message(SECRET, { id: "m5" }) },
    completed(message(SECRET, { id: "m6" })),
  ],
  "an item that only the end tells, beside others": hello(
    done(message("hello")),
    completed(message("hello"), message(SECRET, { id: "msg_2" })),
  ),
  "a call that only the end tells, beside others": hello(
    done(message("hello")),
    completed(message("hello"), call(SECRET)),
  ),
  "a part that only the end tells": hello(
    done(message("hello")),
    completed(message("", { content: [part("hello"), part(SECRET)] })),
  ),
  "another text at the end of the response": hello(done(message("hello")), completed(message(SECRET))),
  "another text at the end of the item": hello(done(message(SECRET)), completed(message("hello"))),
  "another text at the end of the part": hello(partDone(SECRET), done(message("hello")), completed(message("hello"))),
  "another text at the end of the text": hello(saidWhole(SECRET), done(message("hello")), completed(message("hello"))),
  "other arguments at the end of a call": [
    HEAD,
    added(call("")),
    { type: "response.function_call_arguments.delta", ...IN_CALL, delta: "{}" },
    { type: "response.function_call_arguments.done", ...IN_CALL, arguments: SECRET },
    done(call(SECRET)),
    completed(call(SECRET)),
  ],
  "a summary beside the reasoning": [
    HEAD,
    added(thought("")),
    { type: "response.reasoning_text.delta", item_id: "rs_1", output_index: 0, content_index: 0, delta: "hm" },
    done(thought(SECRET, { content: [{ type: "reasoning_text", text: "hm" }] })),
    completed(thought(SECRET, { content: [{ type: "reasoning_text", text: "hm" }] })),
  ],
  "a text beside a piece": [HEAD, added(message("")), { ...says("hello"), text: SECRET }, completed(message("hello"))],
  "a piece beside a whole text": hello({ ...saidWhole("hello"), delta: SECRET }),
  "a text of another dialect beside a piece": [
    HEAD,
    added(message("")),
    { ...says("hello"), choices: [{ index: 0, delta: { content: SECRET } }] },
    completed(message("hello")),
  ],
  "a refusal beside a part's text": hello({ ...partDone("hello"), part: { ...part("hello"), refusal: SECRET } }),
  "an event behind the end": hello(completed(message("hello")), begins("response.in_progress", [message(SECRET)])),
  "a response in an error": hello({ type: "error", message: "broke", response: { output: [message(SECRET)] } }),
  "a text in another dialect's words within a response": [
    begins("response.created", [], { content: [part(SECRET)], text: SECRET }),
    added(message("")),
    completed(),
  ],
  "a list in place of a response": [{ type: "response.created", response: [message(SECRET)] }, completed()],
  "a list in place of a part": hello({ ...partDone("hello"), part: [part(SECRET)] }),
  "the texts of a response without items": hello({
    type: "response.completed",
    response: { id: "r", status: "completed", output_text: SECRET },
  }),
}

for (const type of ["response.created", "response.queued", "response.in_progress"]) {
  const items = { message: message(SECRET), thought: thought(SECRET), call: call(SECRET) }
  for (const [what, item] of Object.entries(items))
    hides(
      "openai-responses",
      `a ${what} in ${type}`,
      events(begins(type, [item], { output_text: SECRET }), completed(item)),
    )
}
for (const [what, list] of Object.entries(RESPONSES)) {
  hides("openai-responses", what, events(...list))
  hides("openai-responses", `${what}, the kinds in the names of the events`, namedOnly(...list))
}

keeps(
  "openai-responses",
  "what is said whole trimmed, joined or without a name",
  events(
    HEAD,
    added(message("")),
    says("hello "),
    says("you\n"),
    saidWhole("hello you"),
    partDone("hello you\n", {}),
    done(message("hello you")),
    begins("response.in_progress", [message("hello you")]),
    completed(message("hello you\n", NO_ID)),
  ),
)

test("openai-responses: a text that begins with its item is told where it ends", async (t) => {
  const list = [begins("response.created", [message(SECRET)]), added(message(SECRET)), done(message(SECRET))]
  const dialect = dialectNamed("openai-responses")
  const out = editStream(dialect, Buffer.from(events(...list, completed(message(SECRET)))), redacts)
  t.equal(told(dialect, out).completion.text, "a ***")
})

const opens = (block: JsonObject): JsonObject => ({ type: "content_block_start", index: 0, content_block: block })
const fills = (delta: JsonObject): JsonObject => ({ type: "content_block_delta", index: 0, delta })
const CLOSES: JsonObject = { type: "content_block_stop", index: 0 }
const starts = (...content: JsonObject[]): JsonObject => ({
  type: "message_start",
  message: { id: "m", type: "message", role: "assistant", model: "x", content, usage: { input_tokens: 1 } },
})
const END: JsonObject = { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 3 } }
const STOP: JsonObject = { type: "message_stop" }
const TEXT: JsonObject = { type: "text", text: "" }
const HELLO: JsonObject = { type: "text_delta", text: "hello" }
const block = (...list: JsonObject[]): JsonObject[] => [starts(), ...list, CLOSES, END, STOP]

const SAID: JsonObject = { type: "text", text: SECRET }
const BLOCKS: Readonly<Record<string, JsonObject>> = {
  text: SAID,
  thinking: { type: "thinking", thinking: SECRET, signature: "" },
  tool_use: { type: "tool_use", id: "t", name: "secret", input: { a: 1 } },
}
const MESSAGES: Readonly<Record<string, JsonObject[]>> = {
  "a text in the start of its block": block(opens(SAID), fills(HELLO)),
  "thinking in the start of its block": block(opens({ type: "thinking", thinking: SECRET, signature: "" })),
  "a text in a block of thinking": block(opens({ type: "thinking", thinking: "", text: SECRET })),
  "thinking in a block of text": block(opens({ ...TEXT, thinking: SECRET })),
  "thinking beside a piece of text": block(opens(TEXT), fills({ ...HELLO, thinking: SECRET })),
  "a piece beside the start of a block": block({ ...opens(TEXT), delta: { type: "text_delta", text: SECRET } }),
  "other arguments behind those of a whole call": block(
    opens({ type: "tool_use", id: "t", name: "f", input: { a: 1 } }),
    fills({ type: "input_json_delta", partial_json: SECRET }),
  ),
  "the arguments of a whole call, said again": block(
    opens({ type: "tool_use", id: "t", name: "f", input: { a: "secret" } }),
    fills({ type: "input_json_delta", partial_json: '{"a":"secret"}' }),
  ),
  "a block beside its end": [starts(), opens(TEXT), fills(HELLO), { ...CLOSES, content_block: SAID }, END, STOP],
  "a message beside its end": [starts(), END, { ...STOP, message: { content: [SAID] } }],
  "content beside the reason of the end": [starts(), { ...END, delta: { stop_reason: "x", content: [SAID] } }, STOP],
  "an object in place of a piece": block(opens(TEXT), fills({ type: "input_json_delta", partial_json: SAID })),
  "a text in place of arguments": block(opens({ type: "tool_use", id: "t", name: "f", input: SECRET })),
  "a block in a ping": [starts(), { type: "ping", content_block: SAID }, END, STOP],
  "a text in an error": [starts(), { type: "error", error: { message: "m" }, content_block: SAID }],
  "a text of another dialect beside a piece": block(opens(TEXT), {
    ...fills(HELLO),
    choices: [{ index: 0, delta: { content: SECRET } }],
  }),
}

for (const piece of [
  { type: "input_json_delta", partial_json: SECRET },
  { type: "text_delta", text: SECRET },
])
  hides(
    "anthropic-messages",
    `two events of ${piece.type} without a line between them`,
    `${events(starts())}data: ${JSON.stringify(fills(piece))}\ndata: ${JSON.stringify(fills(piece))}\n\n`,
  )
hides(
  "openai-responses",
  "two events without a line between them",
  `${events(HEAD)}data: ${JSON.stringify(says(SECRET))}\ndata: ${JSON.stringify(done(message(SECRET)))}\n\n`,
)

for (const [what, one] of Object.entries(BLOCKS)) {
  hides("anthropic-messages", `${what} in the start of the message`, events(starts(one), END, STOP))
  hides(
    "anthropic-messages",
    `${what} before a block`,
    events(starts(one), ...block(opens(TEXT), fills(HELLO)).slice(1)),
  )
}
for (const [what, list] of Object.entries(MESSAGES)) {
  hides("anthropic-messages", what, events(...list))
  hides("anthropic-messages", `${what}, the kinds in the names of the events`, namedOnly(...list))
}
