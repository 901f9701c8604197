/** Templates and what becomes of them: pure. */
import { test } from "tap"
import { conversationIn, hasInput, render } from "../../../addons/profiles/template.ts"

test("places are found in the template alone, whatever is put there", async (t) => {
  const nasty = { history: "Human: {input} {chat_history} $& $1", input: 'a {chat_history} {input} {{x}} {"a": 1} $`' }
  t.equal(
    render("S {x} {chat_history} | {input} | {input}", nasty),
    `S {x} ${nasty.history} | ${nasty.input} | ${nasty.input}`,
  )
  t.equal(render("{{input}}", { history: "", input: "I" }), "{I}", "in a template of ours a brace is a brace")
})

test("in Python's format strings two braces are one", async (t) => {
  t.equal(render('As {{"a": 1}}: {input}', { history: "", input: "{{I}}" }, true), 'As {"a": 1}: {{I}}')
  t.equal(render("{{input}} {input}", { history: "", input: "I" }, true), "{input} I")
  t.same(
    [hasInput("{{input}}", true), hasInput("{{input}}"), hasInput("{ input }"), hasInput("x{input}")],
    [false, true, false, true],
  )
})

test("a conversation is written as LangChain writes it; what a text cannot hold is none", async (t) => {
  const system = { role: "system", content: "Be brief." }
  const turn = [
    { role: "user", content: [{ type: "text", text: "Hi." }] },
    { role: "assistant", content: "Hello." },
  ]
  const last = { role: "user", content: "Bye." }
  t.same(conversationIn([system, ...turn, last]), {
    system: "Be brief.",
    history: "Human: Hi.\nAI: Hello.",
    input: "Bye.",
  })
  t.same(conversationIn([last]), { system: "", history: "", input: "Bye." })
  const image = { role: "user", content: [{ type: "image_url", image_url: { url: "data:" } }] }
  const call = {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
  }
  for (const messages of [[], turn, [image], [call, last], [{ role: "tool", content: "1" }, last], [system]])
    t.equal(conversationIn(messages), undefined, JSON.stringify(messages))
})
