/**
 * A session of GPT Pilot's through the conductor and the re-query: its requests as it writes them (a stream, the form in
 * the last user message), its way of reading an answer, and a local model that fails at every step once.
 */
import assert from "node:assert/strict"
import { test } from "tap"
import { localHost, startRig } from "../../helpers/conductor-rig.ts"
import { chatEvent, DONE, FINISH, sseAnswer } from "../../helpers/hosts/proxy-host.ts"
import { asking, FORMS, pieces, wantsJson } from "../../helpers/requery-rig.ts"

const QUESTION = "Which database should the application keep its notes in?"
const SPEC = `The application keeps notes. ${"Each note has a title, a text and a date. ".repeat(3)}It shows them in a list, newest first.`
const BODY = {
  model: "gpt-4-turbo-preview",
  n: 1,
  temperature: 0.7,
  top_p: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  stream: true,
}

/** What GPT Pilot makes of a stream: lines of `data: ` with a delta; anything else it drops, an error it raises. */
function read(stream: string): string {
  let text = ""
  for (const line of stream.split("\n")) {
    if (!line.startsWith("data: ") || line === "data: [DONE]") continue
    const event: { error?: object; choices: { delta: { content?: string } }[] } = JSON.parse(line.slice(6))
    assert.equal(event.error, undefined)
    if (event.choices.length > 0) text += event.choices[0]?.delta.content ?? ""
  }
  return text
}

/** Its reading of JSON: the first line has to look like some, what stands before a fence is cut. */
function readJson(stream: string): Record<string, unknown> {
  const text = read(stream)
  assert.match(text.split("\n", 1)[0] ?? "", /.*(```(json)?|{|\[)/, "the first line does not look like JSON")
  return JSON.parse(
    text.slice(text.includes("```json") ? text.indexOf("```json") + 7 : 0).replace(/^[`\s]+|[`\s]+$/g, ""),
  )
}

test("every step of a session ends well, though the local model fails at each of them once", async (t) => {
  const answers = [
    QUESTION,
    QUESTION, // repeated
    SPEC,
    '{"plan": []}', // empty
    '```json\n{"plan": [{"description": "Store notes."}]}\n```',
    '{"tasks": []}', // empty
    'Sure!\nHere are the tasks you asked for.\n\n{"tasks": [{"type": "command"},]}', // prose, and a comma too many
    '{"updated_current_task": {"description": "Store notes."}, "plan": []}', // its end
    "I am not sure what you want me to do.", // no JSON at all
    '{"relevant_files": ["main.js"]}',
    '{"missing_data": []}',
  ]
  let asked = 0
  const rig = await startRig(t, {
    local: localHost((_, socket) => {
      const text = answers[asked++] ?? "the session is over"
      socket.write(sseAnswer(...pieces(text).map((piece) => chatEvent(piece)), FINISH, DONE))
    }),
    set: { localApi: "messages" },
    scripts: ["addons/conductor.ts", "addons/requery.ts"],
  })
  const say = async (body: object) => (await rig.chat({ ...BODY, ...body }, "Authorization: Bearer none\r\n")).text
  const talk = [{ role: "user", content: "Build a notes app." }]
  t.equal(read(await say({ messages: talk })), QUESTION)
  const more = [...talk, { role: "assistant", content: QUESTION }, { role: "user", content: "Any." }]
  t.equal(read(await say({ messages: more })), SPEC)
  t.strictSame(readJson(await say(asking(FORMS.developmentPlan))), { plan: [{ description: "Store notes." }] })
  t.strictSame(readJson(await say(asking(FORMS.implementTask))), { tasks: [{ type: "command" }] })
  t.strictSame(readJson(await say(asking(FORMS.updatePlan))).plan, [], "the plan's end")
  t.strictSame(readJson(await say({ messages: [...more, wantsJson(FORMS.relevantFiles)] })), {
    relevant_files: ["main.js"],
  })
  t.strictSame(readJson(await say(asking(FORMS.missingData))), { missing_data: [] })
  t.equal(asked, answers.length)
  t.equal(rig.cloud.requests.length, 0)
})
