/** Empty lists and repeated questions are faults in GPT Pilot's talks; what others mean by them is not known. */
import { test } from "tap"
import { chatJson, DONE, FINISH, jsonAnswer, sseAnswer } from "../../helpers/hosts/proxy-host.ts"
import { asking, FORMS, PILOT, startRequery } from "../../helpers/requery-rig.ts"

const QUESTION = "Which of these 3 databases should the application use for its data?"
const ASKED = [
  { role: "user", content: "Build me a notes app." },
  { role: "assistant", content: QUESTION },
]
const SPEC = "The application stores its notes in SQLite and shows them in a list."

test("who asks to hear a question again hears it, in every form but GPT Pilot's", async (t) => {
  const rig = await startRequery(t, { answers: [QUESTION] })
  for (const content of ["Please repeat your question.", "1", "Sorry, what was that?", "Next."]) {
    const messages = [...ASKED, { role: "user", content }]
    for (const more of [
      {},
      { stream: true, temperature: 0.7 },
      { ...PILOT, top_p: 0.9 },
      { ...PILOT, stream: false },
      { ...PILOT, tools: [] },
      { ...PILOT, user: "u" },
    ])
      t.equal((await rig.say({ messages, ...more })).said, QUESTION)
  }
  const bodies = rig.bodies().length
  t.equal(bodies, 24, "nothing was asked again")
})

test("requery.repeats=always compares the questions of every conversation", async (t) => {
  const rig = await startRequery(t, { answers: [QUESTION, SPEC], env: { LLMPROXY_REQUERY_REPEATS: "always" } })
  t.equal((await rig.say({ messages: [...ASKED, { role: "user", content: "SQLite" }] })).said, SPEC)
})

test("a question with other numbers is another question", async (t) => {
  const other = QUESTION.replace("3", "4")
  const rig = await startRequery(t, { answers: [other] })
  t.equal((await rig.say({ ...PILOT, messages: [...ASKED, { role: "user", content: "More." }] })).said, other)
  t.equal(rig.bodies().length, 1)
})

test("a repeated question is found in Chinese, Japanese and Arabic", async (t) => {
  for (const question of [
    "\u5e94\u7528\u7a0b\u5e8f\u5e94\u8be5\u4f7f\u7528\u54ea\u4e2a\u6570\u636e\u5e93\u6765\u4fdd\u5b58\u5b83\u7684\u6570\u636e\uff1f",
    "\u30a2\u30d7\u30ea\u306f\u30c7\u30fc\u30bf\u306e\u4fdd\u5b58\u306b\u3069\u306e\u30c7\u30fc\u30bf\u30d9\u30fc\u30b9\u3092\u4f7f\u3044\u307e\u3059\u304b\uff1f",
    "\u0645\u0627 \u0642\u0627\u0639\u062f\u0629 \u0627\u0644\u0628\u064a\u0627\u0646\u0627\u062a \u0627\u0644\u062a\u064a \u064a\u062c\u0628 \u0623\u0646 \u064a\u0633\u062a\u062e\u062f\u0645\u0647\u0627 \u0627\u0644\u062a\u0637\u0628\u064a\u0642\u061f",
  ]) {
    const rig = await startRequery(t, { answers: [question, SPEC] })
    const messages = [ASKED[0], { role: "assistant", content: question }, { role: "user", content: "SQLite" }]
    t.equal((await rig.say({ ...PILOT, messages })).said, SPEC, question)
  }
})

test("an empty list is an answer to other programs, whatever its name is", async (t) => {
  const list = { type: "array", items: { type: "object", properties: { description: { type: "string" } } } }
  for (const [key, answer] of [
    ["plan", '{"plan": []}'],
    ["tasks", '{"tasks": []}'],
  ] as const) {
    const schema = { type: "object", properties: { [key]: list }, required: [key] }
    const rig = await startRequery(t, { answers: [answer] })
    for (const stream of [true, false]) {
      const format = { type: "json_schema", json_schema: { name: "steps", schema } }
      t.equal((await rig.say({ response_format: format, stream })).said, answer)
      t.equal((await rig.say({ response_format: { type: "json_object" }, stream })).said, answer)
    }
    t.equal(rig.bodies().length, 4)
  }
})

const functions = (properties: object) => [{ name: "steps", parameters: { type: "object", properties } }]

function called(name: string, args: object): Buffer {
  const call = { id: "1", type: "function", function: { name, arguments: JSON.stringify(args) } }
  const message = { role: "assistant", content: null, tool_calls: [call] }
  return jsonAnswer(chatJson("", { choices: [{ index: 0, message, finish_reason: "tool_calls" }] }))
}

test("GPT Pilot's lists are asked for again in its function form, in a text and in a call", async (t) => {
  const good = '{"plan": [{"description": "Write it."}]}'
  const form = { ...PILOT, functions: functions(FORMS.developmentPlan), function_call: { name: "steps" } }
  for (const empty of ['{"plan": []}', called("steps", { plan: [] })]) {
    const rig = await startRequery(t, { answers: [empty, good] })
    t.equal((await rig.say(form)).said, good)
    t.equal(rig.bodies().length, 2)
  }
  const tasks = { ...form, functions: functions(FORMS.implementTask) }
  const calls = await startRequery(t, {
    answers: [called("steps", { tasks: [] }), called("steps", { tasks: [{ type: "command" }] })],
  })
  t.match((await calls.say(tasks)).text, /"arguments":"\{\\"tasks\\":\[\{/)
})

test("another function's empty list, and a form in which it is an answer, pass", async (t) => {
  const empty = called("steps", { plan: [] })
  const base = { ...PILOT, function_call: { name: "steps" } }
  for (const body of [
    { ...base, functions: functions(FORMS.updatePlan) },
    { ...base, functions: functions({ plan: { type: "array", items: { type: "string" } } }) },
    { ...base, functions: functions(FORMS.developmentPlan), function_call: "auto" },
    { ...base, functions: functions(FORMS.developmentPlan), function_call: { name: "other" } },
    { ...base, functions: functions(FORMS.developmentPlan), temperature: undefined },
    { ...base, functions: [{ name: "steps" }] },
  ]) {
    const rig = await startRequery(t, { answers: [empty] })
    t.match((await rig.say(body)).text, /plan/)
    t.equal(rig.bodies().length, 1, JSON.stringify(body))
  }
})

test("a call is no empty answer, and a stream of one passes", async (t) => {
  const call = {
    index: 0,
    id: "1",
    type: "function",
    function: { name: "steps", arguments: '{"plan": [{"description": "x"}]}' },
  }
  const event = {
    id: "c",
    object: "chat.completion.chunk",
    created: 7,
    model: "m",
    choices: [{ index: 0, delta: { tool_calls: [call] }, finish_reason: null }],
  }
  const rig = await startRequery(t, { answers: [sseAnswer(`data: ${JSON.stringify(event)}\n\n`, FINISH, DONE)] })
  const body = { ...PILOT, functions: functions(FORMS.developmentPlan), function_call: { name: "steps" } }
  t.match((await rig.say(body)).text, /tool_calls/)
  t.equal(rig.bodies().length, 1)
  t.equal((await rig.say(asking(FORMS.relevantFiles))).status, 200)
})

test("a plan that prose asks for is asked for again where it is empty, and prose about one is not touched", async (t) => {
  const good = 'Here it is:\n\n```json\n{"plan": [{"description": "Store notes."}]}\n```'
  const rig = await startRequery(t, { answers: ['{"plan": []}', good] })
  const content = 'Plan a notes app. Respond as JSON of the form {"plan": [{"description": "..."}]}'
  t.equal((await rig.say({ messages: [{ role: "user", content }] })).said, good, "as the model wrote it")
  t.equal(rig.bodies().length, 2)
  const other = await startRequery(t, { answers: ["I would rather not plan."] })
  t.equal((await other.say({ messages: [{ role: "user", content }] })).said, "I would rather not plan.")
  t.equal(other.bodies().length, 1)
})
