/** In chunks, lines and objects, and in whole answers: a second place of a text does not pass an edit unread. */
import { test } from "tap"
import { type JsonObject, parseJson } from "../../../lib/base/json.ts"
import { editAnswer } from "../../../lib/llm/edit/answer-edit.ts"
import { dialectNamed } from "../../../lib/llm/index.ts"
import type { Delta, DialectName } from "../../../lib/llm/model.ts"
import { contextFor } from "../../helpers/llm/dialect-fixtures.ts"
import {
  dataLines,
  editStream,
  linesOf,
  redacted,
  redacts,
  redactsAcross,
  told,
} from "../../helpers/llm/edited-streams.ts"

const SECRET = "a secret"
const STEP = 5

const drops = (delta: Delta): Delta[] => ("text" in delta || delta.type === "toolCall" ? [] : [delta])
const same = (delta: Delta): Delta[] => [{ ...delta }]

function hides(name: DialectName, what: string, event: JsonObject): void {
  const dialect = dialectNamed(name)
  const isLines = name === "ollama"
  const other = name === "llamacpp" ? { content: "x", stop: false } : { id: "c", choices: [] }
  const stream = isLines ? `${JSON.stringify(event)}\n` : dataLines(other, event, "[DONE]")
  const bytes = Buffer.from(stream)
  test(`${name}: ${what} does not pass unread`, async (t) => {
    const whole = editStream(dialect, bytes, redacts)
    t.notMatch(whole, /secret/)
    t.notMatch(editStream(dialect, bytes, drops), /secret/)
    if (!isLines) t.ok(whole.startsWith(dataLines(other)) && whole.endsWith(dataLines("[DONE]")))
    const cuts = Array.from({ length: Math.ceil(bytes.length / STEP) }, (_, at) => at * STEP)
    const cut = cuts.find((at) => editStream(dialect, bytes, redacts, [at]) !== whole)
    t.equal(cut, undefined, "no cut makes a difference")
  })
}

const choice = (delta: JsonObject, more: JsonObject = {}): JsonObject => ({
  index: 0,
  delta,
  finish_reason: null,
  ...more,
})
const chunk = (delta: JsonObject, more: JsonObject = {}, top: JsonObject = {}): JsonObject => ({
  id: "c",
  choices: [choice(delta, more)],
  ...top,
})
const call = (more: JsonObject): JsonObject => ({ tool_calls: [{ index: 0, id: "t", type: "function", ...more }] })
const detail = (more: JsonObject): JsonObject => ({ reasoning_details: [{ type: "reasoning.text", ...more }] })
const X = { name: "f", arguments: "{}" }

/** What a message may say in a second place. */
const MESSAGES: Readonly<Record<string, JsonObject>> = {
  "the same reasoning twice": { reasoning: SECRET, reasoning_content: SECRET },
  "another reasoning under the second name": { reasoning: SECRET, reasoning_content: "x" },
  "another reasoning under the first name": { reasoning: "x", reasoning_content: SECRET },
  "reasoning beside an empty one": { reasoning: SECRET, reasoning_content: "" },
  "details alone": detail({ text: SECRET }),
  "details beside a text": { content: "x", ...detail({ text: SECRET }) },
  "details of another reasoning": { reasoning: "x", ...detail({ text: SECRET }) },
  "details under another name": { reasoning: SECRET, ...detail({ content: SECRET }) },
  "details under two names": { reasoning: SECRET, ...detail({ text: SECRET, summary: SECRET }) },
  "details that are no list": { reasoning: SECRET, reasoning_details: { text: SECRET } },
  "parts of texts and of thinking": { content: [{ type: "text", text: SECRET }, { thinking: [{ text: SECRET }] }] },
  "a part of thinking without a list": { content: [{ type: "thinking", thinking: SECRET }] },
  "parts that are texts": { content: [SECRET] },
  "a part that is alone": { content: { type: "text", text: SECRET } },
  "a part under another name": {
    content: [
      { type: "output_text", content: SECRET },
      { type: "text", text: "x" },
    ],
  },
  "a second text of a part": { content: [{ type: "text", text: "x", content: SECRET }] },
  "a part that refuses": { content: [{ type: "refusal", refusal: SECRET }] },
  "a block that calls": { content: [{ type: "tool_use", id: "t", name: "secret", input: {} }] },
  "a call in both forms": { ...call({ function: X }), function_call: { name: "f", arguments: SECRET } },
  "a call of two kinds": call({ function: X, custom: { name: "f", input: SECRET } }),
  "arguments beside a call's": call({ function: X, arguments: SECRET }),
  "input beside a call's arguments": call({ custom: { ...X, input: SECRET } }),
  "calls that are no list": { tool_calls: { id: "t", function: { name: "f", arguments: SECRET } } },
}

const CHUNKS: Readonly<Record<string, JsonObject>> = {
  "llama-server's own form beside a chunk": chunk(
    { content: SECRET },
    {},
    { __verbose: { content: SECRET, stop: false } },
  ),
  "llama-server's own form beside another text": chunk({ content: "x" }, {}, { __verbose: { content: SECRET } }),
  "the same text beside the delta": chunk({ content: SECRET }, { text: SECRET }),
  "another text beside the delta": chunk({ content: "x" }, { text: SECRET }),
  "a text beside an empty delta": chunk({}, { text: SECRET }),
  "a message beside the delta": chunk({ content: "x" }, { message: { role: "assistant", content: SECRET } }),
  "a call in a message beside the delta": chunk({ content: "x" }, { message: call({ function: { name: "secret" } }) }),
  "content beside the delta": chunk({ content: "x" }, { content: SECRET }),
  "a text beside the choices": chunk({ content: "x" }, {}, { text: SECRET }),
  "a message beside the choices": chunk({ content: "x" }, {}, { message: { content: SECRET } }),
  "a response beside the choices": chunk({ content: "x" }, {}, { response: SECRET }),
  "a delta of another dialect": chunk({ content: "x" }, {}, { delta: { type: "text_delta", text: SECRET } }),
  "a choice with a number that is none": {
    id: "c",
    choices: [choice({ content: "x" }), { ...choice({ content: SECRET }), index: 99_999 }],
  },
  "the tokens of a text that is not told": chunk(
    { content: "x" },
    { text: "y", logprobs: { content: [{ token: SECRET }] } },
  ),
  "a text beside an error": chunk({ content: SECRET }, {}, { error: { message: "broke" } }),
}

for (const [what, message] of Object.entries(MESSAGES)) {
  hides("openai-chat", what, chunk(message))
  hides("openai-chat", `${what}, in a message`, { id: "c", choices: [{ index: 0, message }] })
}
for (const [what, event] of Object.entries(CHUNKS)) hides("openai-chat", what, event)
hides("openai-completions", "a text beside a delta", { choices: [{ index: 0, text: SECRET, delta: { content: "x" } }] })
hides("openai-completions", "a message beside a text", {
  choices: [{ index: 0, text: "x", message: { content: SECRET } }],
})
hides("ollama", "a response beside a message", { message: { content: "x" }, response: SECRET, done: false })
hides("ollama", "thinking beside a message's", {
  message: { content: "x", thinking: "y" },
  thinking: SECRET,
  done: false,
})
hides("ollama", "a list in place of a text", { message: { content: [{ text: SECRET }] }, done: false })
hides("ollama", "calls beside a message's", {
  message: { content: "x", tool_calls: [{ function: { name: "f", arguments: {} } }] },
  tool_calls: [{ function: { name: "g", arguments: { a: "secret" } } }],
  done: false,
})
for (const name of ["text", "reasoning_content", "choices", "message"])
  hides("llamacpp", `${name} beside the content`, {
    content: "x",
    [name]: name === "choices" ? [choice({ content: SECRET })] : name === "message" ? { content: SECRET } : SECRET,
    stop: false,
  })

test("a second chunk in one event is looked through as well", async (t) => {
  const lines = `data: ${JSON.stringify(chunk({ content: "x" }))}\ndata: ${JSON.stringify(chunk({ content: "y" }, { text: SECRET }))}\n\n`
  const out = editStream(dialectNamed("openai-chat"), Buffer.from(lines), same)
  t.equal(out, lines.replace(SECRET, ""))
})

test("what says beside each piece all that was said until then says what left", async (t) => {
  const dialect = dialectNamed("openai-chat")
  const all = (...pieces: string[]): string =>
    dataLines(
      ...pieces.map((content, at) =>
        chunk({ content }, { message: { role: "assistant", content: pieces.slice(0, at + 1).join("") } }),
      ),
      "[DONE]",
    )
  const stream = Buffer.from(all("a", " secret", " and more", ""))
  t.equal(editStream(dialect, stream, same), stream.toString("utf8"))
  t.equal(editStream(dialect, stream, redacts), all("a", " ***", " and more", ""))
  const cut = editStream(dialect, Buffer.from(all("a sec", "ret and", " more words", "")), redactsAcross())
  t.notMatch(cut, /secret/)
  t.match(cut, /"message":\{"role":"assistant","content":"a \*\*\* and more /)
})

test("what does not pass is not said by the events that an edit adds either", async (t) => {
  const stream = dataLines(
    chunk({ content: "x" }, {}, { message: { content: SECRET }, kept: 1 }),
    chunk({ content: "y" }),
  )
  const out = editStream(dialectNamed("openai-chat"), Buffer.from(stream), (delta, stop) => {
    stop()
    return [delta]
  })
  t.match(out, /"kept":1.*"finish_reason":"stop"/, "the end that is added has the other members")
  t.notMatch(out, /secret/)
})

test("what only says again what is told passes as it came, and is edited with it", async (t) => {
  const stream = dataLines(
    chunk({ content: SECRET }, { text: SECRET }),
    chunk({ reasoning: SECRET, ...detail({ text: SECRET, signature: "s" }) }),
    chunk(
      { content: "x", audio: { transcript: "y" }, annotations: [{ text: "z" }] },
      { content_filter_results: { text: "y" } },
    ),
    "[DONE]",
  )
  const dialect = dialectNamed("openai-chat")
  t.equal(editStream(dialect, Buffer.from(stream), same), stream)
  t.equal(editStream(dialect, Buffer.from(stream), redacts), redacted(stream))
})

test("reasoning beside an empty one is told", async (t) => {
  const stream = dataLines(chunk({ reasoning: SECRET, reasoning_content: "" }))
  t.equal(told(dialectNamed("openai-chat"), stream).completion.reasoning, SECRET)
})

test("reasoning that only its details say is told, and edited in them", async (t) => {
  const dialect = dialectNamed("openai-chat")
  const encrypted = { type: "reasoning.encrypted", data: "ENC" }
  const message = {
    reasoning_details: [
      { type: "reasoning.text", text: "a secret ", signature: "s" },
      { type: "reasoning.summary", summary: "and more" },
      encrypted,
    ],
    content: "x",
  }
  const stream = dataLines(chunk(message))
  const body = Buffer.from(JSON.stringify({ choices: [{ index: 0, message, finish_reason: "stop" }] }))
  t.equal(told(dialect, stream).completion.reasoning, "a secret and more")
  t.equal(editStream(dialect, Buffer.from(stream), same), stream)
  t.equal(editAnswer(dialect, body, contextFor(dialect), same), body)
  const left = [{ type: "reasoning.text", text: "a *** and more", signature: "s" }, encrypted]
  t.equal(editStream(dialect, Buffer.from(stream), redacts), dataLines(chunk({ ...message, reasoning_details: left })))
  const edited = editAnswer(dialect, body, contextFor(dialect), redacts)?.toString("utf8")
  t.match(parseJson(edited ?? ""), { choices: [{ message: { reasoning_details: left, content: "x" } }] })
  t.match(linesOf(editStream(dialect, Buffer.from(stream), drops))[0], {
    choices: [{ delta: { reasoning_details: left.slice(1), content: "" } }],
  })
  t.equal(told(dialect, dataLines(chunk({ reasoning: "y", ...message }))).completion.reasoning, "y", "not told twice")
})

test("reasoning that is a part with a summary is told, and edited in it", async (t) => {
  const dialect = dialectNamed("openai-chat")
  const summary = (text: string) => [{ type: "summary_text", text, signature: "s" }]
  const message = (thought: string) => ({
    content: [
      { type: "reasoning", summary: summary(thought) },
      { type: "text", text: "x" },
    ],
  })
  const stream = dataLines(
    chunk({ content: [{ type: "reasoning", summary: summary("why") }] }),
    chunk(message(SECRET)),
    "[DONE]",
  )
  const body = JSON.stringify({ choices: [{ index: 0, message: message(SECRET), finish_reason: "stop" }] })
  t.match(told(dialect, stream).completion, { reasoning: `why${SECRET}`, text: "x" })
  t.equal(editStream(dialect, Buffer.from(stream), same), stream)
  t.equal(editStream(dialect, Buffer.from(stream), redacts), redacted(stream))
  t.equal(editAnswer(dialect, Buffer.from(body), contextFor(dialect), same)?.toString("utf8"), body)
  t.equal(editAnswer(dialect, Buffer.from(body), contextFor(dialect), redacts)?.toString("utf8"), redacted(body))
})

test("reasoning that is said again with other white space around it is no other", async (t) => {
  const stream = dataLines(
    chunk({ reasoning: "why", reasoning_content: "why\n" }),
    chunk({ reasoning: SECRET, ...detail({ text: `${SECRET}\n`, signature: "s" }) }),
    "[DONE]",
  )
  const dialect = dialectNamed("openai-chat")
  t.equal(editStream(dialect, Buffer.from(stream), same), stream)
  const left = { reasoning: redacted(SECRET), ...detail({ text: redacted(SECRET), signature: "s" }) }
  t.match(linesOf(editStream(dialect, Buffer.from(stream), redacts))[2], { choices: [{ delta: left }] })
})

test("what nests deeper than any text of the model's is emptied", async (t) => {
  for (const name of ["content", "message", "tool_calls", "reasoning_details"]) {
    const deep = `${`{"${name}":[`.repeat(9_000)}{"text":"a secret"}${"]}".repeat(9_000)}`
    const stream = `data: {"choices":[{"index":0,"delta":{"content":"x"},"message":${deep}}]}\n\n`
    const out = editStream(dialectNamed("openai-chat"), Buffer.from(stream), same)
    t.notMatch(out, /secret/, name)
    t.equal(told(dialectNamed("openai-chat"), out).completion.text, "x", name)
  }
})

/** What whole answers may say in a second place. */
const WHOLE: readonly (readonly [DialectName, string, JsonObject])[] = [
  ["openai-chat", "a text beside the message", { choices: [{ index: 0, message: { content: "x" }, text: SECRET }] }],
  [
    "openai-chat",
    "a text beside the choices",
    { choices: [{ index: 0, message: { content: "x" } }], response: SECRET },
  ],
  ["openai-chat", "a text beside an error", { error: { message: "m" }, choices: [{ message: { content: SECRET } }] }],
  [
    "anthropic-messages",
    "a text in thinking",
    { type: "message", role: "assistant", content: [{ type: "thinking", thinking: "x", text: SECRET }] },
  ],
  [
    "anthropic-messages",
    "a completion beside the content",
    { type: "message", role: "assistant", content: [{ type: "text", text: "x" }], message: { content: SECRET } },
  ],
  [
    "openai-responses",
    "a text in place of parts",
    { object: "response", status: "completed", output: [{ type: "message", content: SECRET }] },
  ],
  [
    "openai-responses",
    "another output_text",
    { object: "response", status: "completed", output: [], output_text: SECRET },
  ],
  ["ollama", "a response beside a message", { message: { content: "x" }, response: SECRET, done: true }],
  ["llamacpp", "a text beside the content", { content: "x", text: SECRET, stop: true }],
]
const messages = Object.entries(MESSAGES).map(([what, message]): readonly [DialectName, string, JsonObject] => {
  return ["openai-chat", what, { choices: [{ index: 0, message, finish_reason: "stop" }] }]
})
for (const [name, what, json] of [...messages, ...WHOLE]) {
  test(`${name}: of a whole answer, ${what} does not pass unread`, async (t) => {
    const dialect = dialectNamed(name)
    for (const edit of [redacts, drops]) {
      const out = editAnswer(dialect, Buffer.from(JSON.stringify(json)), contextFor(dialect), edit)
      t.notMatch(out?.toString("utf8") ?? "secret", /secret/)
    }
  })
}
