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
import { testFlow } from "../../../lib/testing/flows.ts"
import { CHAT, completionOf, endedChat, endedFlow } from "../../helpers/shown-flow.ts"

test("an excerpt is the last message and the answer, a line each", async (t) => {
  const messages = [
    { role: "system", content: "Be terse." },
    { role: "user", content: `first\n\n${"word ".repeat(100)}` },
  ]
  const flow = await endedChat({ ...CHAT, messages }, { completion: completionOf("one\ntwo") })
  const lines = excerptText(flow, PLAIN).split("\n")
  t.equal(lines[0]?.slice(0, 33), "      user       first word word ")
  t.ok(lines[0]?.endsWith("…"))
  t.same(lines.slice(1), ["      answer     one two", ""])
  t.equal(excerptText(await endedFlow({}, {}), PLAIN), "", "nothing of what is no chat")
  t.equal(excerptText(await endedChat({ ...CHAT, messages: [] }, {}), PLAIN), "")
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
    messagesText(await endedChat({ ...CHAT, messages }, {}), PLAIN),
    "      system     a\n                 b\n" +
      "      user       look\n                 [image_url]\n" +
      '      assistant  tool call {"id":"1"}\n',
  )
})

test("an answer is shown with its reasoning, its refusal and its tool calls", async (t) => {
  const toolCalls = [{ id: "1", name: "f", arguments: '{"a":1}' }]
  const completion = completionOf("text", { reasoning: "hm", refusal: "no", toolCalls })
  const indent = "                 "
  t.equal(
    completionText(completion, PLAIN),
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
