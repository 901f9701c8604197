/** Excerpts, messages, heads and bodies as they are printed. */
import { test } from "tap"
import {
  completionText,
  excerptText,
  messagesText,
  requestText,
  responseText,
} from "../../../lib/cli/terminal/flow-text.ts"
import { PLAIN } from "../../../lib/cli/terminal/paint.ts"
import { llmFlow, testFlow } from "../../../lib/testing/flows.ts"
import { CHAT, completionOf, endedChat, endedFlow } from "../../helpers/shown-flow.ts"

const STYLE = { paint: PLAIN }

const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather\n of a city.",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, unit: { enum: ["C", "F"] } },
      required: ["city"],
    },
  },
}

test("an excerpt is the system prompt, the tools, the last message and the answer, a line each", async (t) => {
  const messages = [
    { role: "system", content: "Be terse." },
    { role: "user", content: `first\n\n${"word ".repeat(100)}` },
  ]
  const tools = [WEATHER, { type: "web_search" }]
  const flow = await endedChat({ ...CHAT, messages, tools }, { completion: completionOf("one\ntwo") })
  const [system, offered, user, ...lines] = excerptText(flow, STYLE).split("\n")
  t.equal(system, "      system     Be terse.")
  t.equal(offered, "      tools      get_weather, web_search")
  t.equal(user?.slice(0, 33), "      user       first word word ")
  t.ok(user?.endsWith("…"))
  t.same(lines, ["      answer     one two", ""])
  t.equal(excerptText(await endedFlow({}, {}), STYLE), "", "nothing of what is no chat")
  t.equal(excerptText(await endedChat({ ...CHAT, messages: [] }, {}), STYLE), "")
})

test("messages are whole, with what is no text named", async (t) => {
  const messages = [
    { role: "system", content: "a\nb" },
    {
      role: "user",
      content: [
        { type: "text", text: "look" },
        { type: "image_url", image_url: { url: "data:" } },
      ],
    },
    { role: "assistant", content: null, tool_calls: [{ id: "1" }] },
  ]
  t.equal(
    messagesText(await endedChat({ ...CHAT, messages }, {}), STYLE),
    "      system     a\n                 b\n" +
      "      user       look\n                 [image_url]\n" +
      '      assistant  tool call {"id":"1"}\n',
  )
})

test("tools are shown with their parameters, in each dialect's form, and the system prompt of a place of its own", async (t) => {
  const { name, description, parameters } = WEATHER.function
  const told = "      tools      get_weather(city: string, unit?)  The weather of a city.\n"
  const user = "      user       Hi\n"
  const chat = await endedChat({ ...CHAT, tools: [WEATHER] }, {})
  t.equal(messagesText(chat, STYLE), told + user)
  const anthropic = await llmFlow({
    url: "https://api.anthropic.com/v1/messages",
    json: { ...CHAT, max_tokens: 1, system: "Be terse.", tools: [{ name, description, input_schema: parameters }] },
  })
  t.equal(messagesText(anthropic.flow, STYLE), `      system     Be terse.\n${told}${user}`)
  const servers = await endedChat({ ...CHAT, tools: [{ type: "web_search" }, {}] }, {})
  t.match(messagesText(servers, STYLE), "tools      web_search()\n                 ?()\n")
})

test("of a flow that an addon has sent only that is shown which its parent lacks", async (t) => {
  const messages = [
    { role: "system", content: "Be terse." },
    { role: "user", content: "Hi" },
  ]
  const parent = await endedChat({ ...CHAT, messages, tools: [WEATHER] }, {})
  const again = [...messages, { role: "user", content: "Write valid JSON." }]
  const child = await endedChat(
    { ...CHAT, messages: again, tools: [WEATHER] },
    { parent, completion: completionOf("{}") },
  )
  t.equal(messagesText(child, STYLE), "      user       Write valid JSON.\n")
  t.equal(excerptText(child, STYLE), "      user       Write valid JSON.\n      answer     {}\n")
})

test("what is longer than a line hangs under its beginning, broken between words", async (t) => {
  const text = `Write to alice@example.com or bob@example.org for more.\n\n  indented ${"x".repeat(30)} 漢字漢字漢字漢字漢字漢字漢字漢字`
  const flow = await endedChat({ ...CHAT, messages: [{ role: "user", content: text }] }, {})
  const indent = "                 "
  t.equal(
    messagesText(flow, { paint: PLAIN, columns: 46 }),
    [
      "      user       Write to alice@example.com or",
      `${indent}bob@example.org for more.`,
      "",
      `${indent}  indented`,
      `${indent}${"x".repeat(29)}`,
      `${indent}x`,
      `${indent}漢字漢字漢字漢字漢字漢字漢字`,
      `${indent}漢字`,
      "",
    ].join("\n"),
  )
})

test("an answer is shown with its reasoning, its refusal and its tool calls", async (t) => {
  const toolCalls = [{ id: "1", name: "f", arguments: '{"a":1}' }]
  const completion = completionOf("text", { reasoning: "hm", refusal: "no", toolCalls })
  const indent = "                 "
  t.equal(
    completionText(completion, STYLE),
    `      answer     (hm)\n${indent}text\n${indent}no\n${indent}tool call f({"a":1})\n`,
  )
})

test("heads are shown line by line, the values of secret fields are not", async (t) => {
  const headers: [string, string][] = [
    ["X-Api-Key", "abc"],
    ["Cookie", "a=b"],
    ["x-auth-token", "t"],
    ["Accept", "*/*"],
  ]
  const { flow } = await testFlow({ url: "https://example.org/a?key=secret", headers })
  t.equal(
    requestText(flow),
    [
      "GET /a?key=*** HTTP/1.1",
      "X-Api-Key: ***",
      "Cookie: ***",
      "x-auth-token: ***",
      "Accept: */*",
      "Host: example.org",
      "",
    ]
      .join("\n      ")
      .replace(/^/, "      ")
      .replace(/ +$/, ""),
  )
})

test("a body of text is shown, another one is told of", async (t) => {
  const shown = async (type: string | undefined, body: string) =>
    responseText(
      await endedFlow({}, { status: 200, body, headers: type === undefined ? [] : [["Content-Type", type]] }),
    )
  t.equal(
    await shown("application/json", '{"a":1}\n'),
    '      200 OK\n      Content-Type: application/json\n\n      {"a":1}\n',
  )
  t.match(await shown("text/event-stream", "data: 1"), "data: 1")
  t.match(await shown("application/problem+json; charset=utf-8", "{}"), "{}")
  t.match(await shown("image/png", "abcd"), "\n      (4 bytes of image/png)\n")
  t.match(await shown(undefined, "abcd"), "(4 bytes of an unknown type)")
  t.match(await shown("application/octet-stream", 'data: {"a":1}\n\n'), "data: {", "an answer is told by its bytes")
  t.match(await shown(undefined, '\uFEFF{"a":1}'), '{"a":1}')
  t.equal(await shown(undefined, ""), "      200 OK\n")
  const long = await shown("text/plain", "x".repeat(70_000))
  t.match(long, "(70000 bytes, cut here)")
  t.ok(long.length < 66_000)
})

test("what was not kept, or never came, is not there", async (t) => {
  const flow = await endedFlow({}, {})
  t.equal(responseText(flow), "")
  Object.defineProperty(flow.request, "bytes", {
    get() {
      throw new Error("not collected")
    },
  })
  t.match(requestText(flow), /^ {6}GET \/v1\/chat\/completions HTTP\/1.1\n/)
})
