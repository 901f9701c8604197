import assert from "node:assert/strict"
import { test } from "tap"
import { nudged } from "../../../addons/requery/ask-again.ts"
import type { Message } from "../../../lib/llm/model.ts"

const MESSAGES: Message[] = [
  { role: "user", content: "Write it." },
  { role: "assistant", content: "What?" },
  { role: "user", content: "Write it. " },
]

test("the nudge stands at the end of the last user message, in messages, parts and raw prompts", async () => {
  const said = (body: Parameters<typeof nudged>[0]) => nudged(body, "Now.", MESSAGES)
  assert.deepEqual(said({ messages: MESSAGES }).messages, [
    ...MESSAGES.slice(0, 2),
    { role: "user", content: "Write it. \n\nNow." },
  ])
  const parts = [{ type: "text", text: "Write it." }]
  assert.deepEqual(said({ messages: [{ role: "user", content: parts }] }).messages, [
    { role: "user", content: [...parts, { type: "text", text: "Now." }] },
  ])
  assert.deepEqual(said({ messages: [{ role: "system", content: "x" }] }).messages, [
    { role: "system", content: "x" },
    { role: "user", content: "Now." },
  ])
  assert.equal(
    said({ prompt: "### I:\nWrite it.\n### I:\nWrite it.\n### R:\n" }).prompt,
    "### I:\nWrite it.\n### I:\nWrite it.\n\nNow.\n### R:\n",
  )
})

test("a prompt that does not hold the message stays as it is, and so does a body of another kind", async () => {
  assert.equal(nudged({ prompt: "other" }, "Now.", MESSAGES).prompt, "other")
  assert.equal(nudged({ prompt: "other" }, "Now.", []).prompt, "other")
  assert.deepEqual(nudged({ input: "x" }, "Now.", MESSAGES), { input: "x" })
})
