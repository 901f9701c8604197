/** Conversations of every dialect in chat's form: with tools, calls and results, and nothing left out in silence. */
import { test } from "tap"
import type { JsonObject, JsonValue } from "../../lib/base/json.ts"
import { chatForm, NoChatForm } from "../../lib/store/chat-form.ts"

const user = (content: JsonValue): JsonObject => ({ role: "user", content })
const said = (content: JsonValue): JsonObject => ({ role: "assistant", content })
const call = (id: string, name: string, json: string): JsonObject => ({
  id,
  type: "function",
  function: { name, arguments: json },
})
const form = (messages: JsonObject[], answer: JsonObject = said("done"), tools?: JsonValue) =>
  chatForm({ messages, answer, tools })

/** One conversation: a question with a picture, two calls, their results, an answer. */
const IN_CHAT: JsonObject[] = [
  { role: "system", content: "Be kind." },
  user([
    { type: "text", text: "What is here?" },
    { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0" } },
  ]),
  {
    role: "assistant",
    content: "I look.",
    tool_calls: [call("c1", "look", '{"at":1}'), call("c2", "look", '{"at":2}')],
  },
  { role: "tool", tool_call_id: "c1", content: "a cat" },
  { role: "tool", tool_call_id: "c2", content: "a dog" },
  said("A cat and a dog."),
]
const TOOL_IN_CHAT: JsonObject = {
  type: "function",
  function: { name: "look", description: "Looks.", parameters: { type: "object" } },
}

const HELD: Readonly<Record<string, { messages: JsonObject[]; tools: JsonObject[] }>> = {
  "openai-chat": { messages: IN_CHAT.slice(0, -1), tools: [TOOL_IN_CHAT] },
  "anthropic-messages": {
    messages: [
      { role: "system", content: "Be kind." },
      user([
        { type: "text", text: "What is here?", cache_control: { type: "ephemeral" } },
        { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0" } },
      ]),
      said([
        { type: "thinking", thinking: "hm", signature: "s" },
        { type: "text", text: "I look." },
        { type: "tool_use", id: "c1", name: "look", input: { at: 1 } },
        { type: "tool_use", id: "c2", name: "look", input: { at: 2 } },
      ]),
      user([
        { type: "tool_result", tool_use_id: "c1", content: "a cat" },
        { type: "tool_result", tool_use_id: "c2", content: [{ type: "text", text: "a dog" }] },
      ]),
    ],
    tools: [{ name: "look", description: "Looks.", input_schema: { type: "object" } }],
  },
  "openai-responses": {
    messages: [
      { role: "system", content: "Be kind." },
      user([
        { type: "input_text", text: "What is here?" },
        { type: "input_image", image_url: "data:image/png;base64,iVBORw0" },
      ]),
      { type: "reasoning", id: "r1", summary: [] },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "I look.", annotations: [] }] },
      { type: "function_call", id: "fc1", call_id: "c1", name: "look", arguments: '{"at":1}' },
      { type: "function_call", id: "fc2", call_id: "c2", name: "look", arguments: '{"at":2}' },
      { type: "function_call_output", call_id: "c1", output: "a cat" },
      { type: "function_call_output", call_id: "c2", output: [{ type: "input_text", text: "a dog" }] },
    ],
    tools: [{ type: "function", name: "look", description: "Looks.", parameters: { type: "object" } }],
  },
  ollama: {
    messages: [
      { role: "system", content: "Be kind." },
      { role: "user", content: "What is here?", images: ["iVBORw0"] },
      {
        role: "assistant",
        content: "I look.",
        thinking: "hm",
        tool_calls: [
          { function: { name: "look", arguments: { at: 1 } } },
          { function: { name: "look", arguments: { at: 2 } } },
        ],
      },
      { role: "tool", tool_name: "look", content: "a cat" },
      { role: "tool", tool_name: "look", content: "a dog" },
    ],
    tools: [TOOL_IN_CHAT],
  },
}

for (const [dialect, { messages, tools }] of Object.entries(HELD))
  test(`${dialect}: tools, calls and results are in chat's form, with ids that pair`, async (t) => {
    const written = form(messages, said("A cat and a dog."), tools)
    const ids = JSON.stringify(written.messages).replaceAll("call_1", "c1").replaceAll("call_2", "c2")
    t.strictSame(JSON.parse(ids), IN_CHAT)
    t.strictSame(written.tools, [TOOL_IN_CHAT])
  })

test("legacy functions are tools, and their calls have ids", async (t) => {
  const written = form(
    [
      user("U"),
      { role: "assistant", content: null, function_call: { name: "f", arguments: "{}" } },
      { role: "function", name: "f", content: "1" },
    ],
    said("A"),
    [{ name: "f", parameters: { type: "object" } }],
  )
  t.strictSame(written.messages, [
    user("U"),
    { role: "assistant", content: null, tool_calls: [call("call_1", "f", "{}")] },
    { role: "tool", tool_call_id: "call_1", content: "1" },
    said("A"),
  ])
  t.strictSame(written.tools, [{ type: "function", function: { name: "f", parameters: { type: "object" } } }])
})

test("tools that take one text are functions that do", async (t) => {
  const chat = {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c", type: "custom", custom: { name: "sh", input: "ls" } }],
  }
  const items: JsonObject[] = [
    { type: "custom_tool_call", call_id: "c", name: "sh", input: "ls" },
    { type: "custom_tool_call_output", call_id: "c", output: "x" },
  ]
  const expected = [
    user("U"),
    { role: "assistant", content: null, tool_calls: [call("c", "sh", '{"input":"ls"}')] },
    { role: "tool", tool_call_id: "c", content: "x" },
    said("done"),
  ]
  t.strictSame(form([user("U"), chat, { role: "tool", tool_call_id: "c", content: "x" }]).messages, expected)
  t.strictSame(form([user("U"), ...items]).messages, expected)
  for (const tool of [
    { type: "custom", name: "sh" },
    { type: "custom", custom: { name: "sh" } },
  ])
    t.match(form([user("U")], said("A"), [tool]).tools, [
      { type: "function", function: { name: "sh", parameters: { required: ["input"] } } },
    ])
})

test("calls that say little are whole all the same: an id is made, and arguments that are missing are none", async (t) => {
  const bare: Readonly<Record<string, JsonObject[]>> = {
    chat: [{ role: "assistant", content: null, tool_calls: [{ function: { name: "f" } }] }],
    legacy: [{ role: "assistant", content: "", function_call: { name: "f" } }],
    Anthropic: [said([{ type: "tool_use", name: "f" }])],
    Responses: [{ type: "function_call", name: "f" }],
    "Responses behind an empty text": [
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "" }] },
      { type: "function_call", name: "f", arguments: null },
    ],
  }
  for (const [what, messages] of Object.entries(bare))
    t.strictSame(
      form([user("U"), ...messages, { role: "tool", tool_name: "f", content: "1" }]).messages.slice(1, 3),
      [
        { role: "assistant", content: null, tool_calls: [call("call_1", "f", "{}")] },
        { role: "tool", tool_call_id: "call_1", content: "1" },
      ],
      what,
    )
  for (const message of [
    { role: "assistant", content: null, tool_calls: [{ id: "c", custom: { name: "sh" } }] },
    { type: "custom_tool_call", call_id: "c", name: "sh", input: null },
  ])
    t.strictSame(form([user("U"), message, { type: "custom_tool_call_output", call_id: "c", output: 7 }]).messages, [
      user("U"),
      { role: "assistant", content: null, tool_calls: [call("c", "sh", '{"input":""}')] },
      { role: "tool", tool_call_id: "c", content: "7" },
      said("done"),
    ])
})

test("a result is its texts, its JSON, or nothing", async (t) => {
  const result = (content: JsonValue | undefined) =>
    form([
      user("U"),
      said([{ type: "tool_use", id: "c", name: "f", input: {} }]),
      user([{ type: "tool_result", tool_use_id: "c", ...(content === undefined ? {} : { content }) }]),
    ]).messages[2]?.content
  t.equal(result(undefined), "")
  t.equal(result(null), "")
  t.equal(result({ a: 1 }), '{"a":1}')
  t.equal(result(["a", { type: "text", text: "b" }, { type: "text" }]), "a\nb\n")
})

test("a message's texts are joined, its name stays, and a refusal is what was said", async (t) => {
  t.strictSame(form([{ ...user(["a", { type: "text", text: "b" }]), name: "ann" }]).messages[0], {
    ...user("a\nb"),
    name: "ann",
  })
  t.strictSame(form([user("U"), said([{ type: "refusal", refusal: "no" }]), user("V")]).messages[1], said("no"))
})

test("an image is of the type that is named, else of the one that its bytes begin with, else PNG", async (t) => {
  const url = (message: JsonObject) => JSON.stringify(form([message]).messages[0]?.content)
  const image = (source: JsonObject) => user([{ type: "image", source: { type: "base64", ...source } }])
  t.match(url(image({ media_type: "image/webp", data: "/9j/x" })), "data:image/webp;base64,/9j/x")
  t.match(url(image({ data: "/9j/x" })), "data:image/jpeg;base64,/9j/x")
  t.match(url(image({ data: "AAAA" })), "data:image/png;base64,AAAA")
  t.match(url({ role: "user", content: "U", images: ["R0lGx"] }), "data:image/gif;base64,R0lGx")
  t.match(url(user([{ type: "image", source: { type: "url", url: "https://x/y.png" } }])), '{"url":"https://x/y.png"}')
})

test("an answer may end with calls, and reasoning is no part of it", async (t) => {
  const answer = { role: "assistant", content: null, reasoning_content: "hm", tool_calls: [call("c", "f", "{}")] }
  t.strictSame(form([user("U")], answer).messages, [
    user("U"),
    { role: "assistant", content: null, tool_calls: [call("c", "f", "{}")] },
  ])
  t.strictSame(form([{ role: "developer", content: "S" }, user("U")], { ...said(""), refusal: "no" }).messages, [
    { role: "system", content: "S" },
    user("U"),
    said("no"),
  ])
})

test("what has no place in the form refuses the exchange, and says why", async (t) => {
  const image = (part: JsonObject) => [user([{ type: "image", ...part }])]
  for (const [why, messages, answer, tools] of [
    ["a result without its call", [user("U"), { role: "tool", tool_call_id: "x", content: "1" }]],
    [
      "a call of f without its result",
      [user("U"), { role: "assistant", content: null, tool_calls: [call("c", "f", "{}")] }],
    ],
    ['the role "narrator"', [{ role: "narrator", content: "x" }]],
    ['the role "none"', [{ type: "message", content: "x" }]],
    ["a call without its name", [user("U"), { role: "assistant", content: null, tool_calls: [7] }]],
    ["a call without its name", [user("U"), said([{ type: "tool_use", id: "c", input: {} }])]],
    ["no answer at the end", [user("U")], user("V")],
    ["an item of type none", [user("U"), { id: "x" }]],
    ["a part of type none", [user([{ text: "x" }])]],
    ["a part of type none in an answer", [user("U"), said([7])]],
    [
      "a result of type none",
      [
        user("U"),
        { role: "assistant", content: null, tool_calls: [call("c", "f", "{}")] },
        { role: "tool", tool_call_id: "c", content: [{ text: "x" }] },
      ],
    ],
    ["an image without its data", [{ role: "user", content: "U", images: [7] }]],
    ["an item of type item_reference", [user("U"), { type: "item_reference", id: "x" }]],
    ["a part of type input_audio", [user([{ type: "input_audio", input_audio: {} }])]],
    ["a part of type server_tool_use in an answer", [user("U"), said([{ type: "server_tool_use" }])]],
    [
      "a result of type image",
      [
        user("U"),
        { role: "assistant", content: null, tool_calls: [call("c", "f", "{}")] },
        user([{ type: "tool_result", tool_use_id: "c", content: [{ type: "image" }] }]),
      ],
    ],
    ["an image without its data", image({ source: { type: "file", file_id: "f" } })],
    ["an answer in audio", [user("U")], { role: "assistant", content: null, audio: { id: "a" } }],
    [
      "a tool of type web_search_20250305",
      [user("U")],
      said("A"),
      [{ type: "web_search_20250305", name: "web_search" }],
    ],
  ] as [string, JsonObject[], JsonObject?, JsonValue?][])
    t.throws(() => form(messages, answer, tools), { constructor: NoChatForm, message: why }, why)
})
