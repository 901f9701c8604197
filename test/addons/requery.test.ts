/** What the client gets, what the local host is asked, and what leaves the machine, when answers are of no use. */
import { test } from "tap"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import { CHAT_PATH, CLOUD, fieldOf, sentTo } from "../helpers/conductor-rig.ts"
import { chatEvent, chatJson, DONE, FINISH, jsonAnswer, sseAnswer, until } from "../helpers/hosts/proxy-host.ts"
import { asking, FORMS, message, PILOT, pieces, startRequery, wantsJson } from "../helpers/requery-rig.ts"

const KEY = "Authorization: Bearer sk-own\r\n"
const PLAN = '{"plan": [{"description": "Write it."}]}'
const EMPTY_PLANS = [
  '{"plan": []}',
  '{"plan":[]}',
  '{"plan": [\n]}',
  '```json\n{\n "plan": []\n}\n```',
  'Here is the plan:\n```json\n{"plan": [ ]}\n```\nDone.',
]

test("an empty plan is asked for again, and no word of it reaches the client, stream or not", async (t) => {
  for (const stream of [true, false]) {
    for (const empty of EMPTY_PLANS) {
      const rig = await startRequery(t, { answers: [empty, PLAN] })
      const answer = await rig.say(asking(FORMS.developmentPlan, { stream, temperature: 0.5 }))
      t.equal(answer.said, PLAN, empty)
      t.notMatch(answer.text, /\[\s*\]/)
      t.match(answer.text, stream ? /^data: .*\[DONE\]\n\n$/s : /^\{.*\}$/s)
      const [first, second] = rig.bodies() as { messages: { content: string }[]; temperature: number; top_k: number }[]
      t.equal(rig.bodies().length, 2)
      t.match(second?.messages.at(-1)?.content, /expected JSON object[\s\S]*Your last answer had an empty plan\./)
      t.equal(second?.messages.length, first?.messages.length)
      t.equal(second?.temperature, 0.8)
      t.equal(second?.top_k, 40, "the rest is what the local host was asked")
      await rig.app.stop()
    }
  }
})

test("every attempt is a child flow, and the flow says what was wrong and what its client got", async (t) => {
  const rig = await startRequery(t, { answers: ['{"tasks": []}', '{"tasks": [{"type": "command"}]}'] })
  await rig.say(asking(FORMS.implementTask, { stream: true }))
  await until(() => rig.flows.some(({ parent }) => parent === undefined))
  const flow = rig.asked()
  const children = rig.flows.filter(({ parent }) => parent === flow)
  t.equal(children.length, 2)
  t.equal(flow.llm?.completion?.text, '{"tasks": [{"type": "command"}]}')
  t.match(flow.metadata["requery.findings"], [{ guard: "empty-tasks", mode: "hold", why: '"tasks" is empty' }])
  t.match(flow.metadata["requery.accepted"], { attempt: 1, from: "local" })
  t.match(flow.routed, { name: "local", reason: 'asked again once: "tasks" is empty' })
})

test("a record says where the client got the JSON alone, out of prose", async (t) => {
  const plan = '{"plan": [{"description": "Store notes."}]}'
  for (const [said, isMended] of [
    [`Here it is:\n\n\`\`\`json\n${plan}\n\`\`\``, true],
    [plan, undefined],
  ] as const) {
    const rig = await startRequery(t, { answers: [said] })
    const { said: got } = await rig.say(asking(FORMS.developmentPlan))
    t.strictSame(JSON.parse(got), JSON.parse(plan))
    await until(() => rig.flows.some(({ parent }) => parent === undefined))
    t.equal(rig.asked().metadata["requery.mended"], isMended)
  }
})

test("legitimate empties, and what is asked for in another form, pass as their own bytes", async (t) => {
  const cases: [object, string][] = [
    [FORMS.updatePlan, '{"updated_current_task": {"description": "x"}, "plan": []}'],
    [FORMS.missingData, '{"missing_data": []}'],
    [FORMS.relevantFiles, '{"relevant_files": []}'],
  ]
  for (const [form, text] of cases) {
    const events = [...pieces(text).map((piece) => chatEvent(piece)), FINISH, DONE]
    const rig = await startRequery(t, { answers: [sseAnswer(...events)] })
    const answer = await rig.say(asking(form, { stream: true }))
    t.equal(answer.text, events.join(""), text)
    t.equal(rig.bodies().length, 1)
  }
  const rig = await startRequery(t, { answers: ['{"plan": []}'] })
  t.equal((await rig.say({ stream: true })).said, '{"plan": []}', "nobody asked for a plan")
})

test("a question that was asked before is nudged; one that the user's words hold is not", async (t) => {
  const question = "Which database should the application use for its data?"
  const spec = "The application stores its notes in SQLite and shows them in a list."
  const rig = await startRequery(t, { answers: [question.toUpperCase(), spec] })
  const messages = [
    { role: "user", content: "Build me a notes app." },
    { role: "assistant", content: question },
    { role: "user", content: "SQLite" },
  ]
  t.equal((await rig.say({ ...PILOT, messages })).said, spec)
  t.match(rig.bodies()[1], { messages: [{}, {}, { content: /^SQLite\n\nYou have asked this before\./ }] })
  const other = await startRequery(t, { answers: [question] })
  const quoted = [
    { role: "user", content: `A client asked: ${question}` },
    { role: "assistant", content: "I see." },
    messages[2],
  ]
  t.equal((await other.say({ ...PILOT, messages: quoted })).said, question)
})

test("prose, fences and small faults around JSON are taken off; what was cut is asked for again", async (t) => {
  const cases: [string, string][] = [
    [`Sure, here it is:\n\`\`\`json\n${PLAN}\n\`\`\`\nAnything else?`, PLAN],
    ['{"plan": [{"description": "Write it."},]}', '{"plan": [{"description": "Write it."}]}'],
    ["{'plan': [{'description': 'Write it.'}]}", '{"plan": [{"description": "Write it."}]}'],
    ['{"plan": [{"description": "Write it."}', '{"plan": [{"description": "Write it."}]}'],
  ]
  for (const [text, mended] of cases) {
    const rig = await startRequery(t, { answers: [text] })
    for (const stream of [true, false]) {
      const { said } = await rig.say(asking(FORMS.developmentPlan, { stream }))
      t.strictSame(JSON.parse(said), JSON.parse(mended), text)
    }
    t.equal(rig.bodies().length, 2, "nothing was asked again")
  }
  const cut = await startRequery(t, { answers: ['{"plan": [{"description": "Wri', PLAN] })
  t.equal((await cut.say({ response_format: { type: "json_object" }, stream: true })).said, PLAN)
})

test("JSON that does not match the form is asked for again, by the form's own words", async (t) => {
  const rig = await startRequery(t, { answers: ['{"plan": [{"step": 1}]}', '{"steps": []}', PLAN] })
  t.equal((await rig.say(asking(FORMS.developmentPlan))).said, PLAN)
  t.match(rig.asked().metadata["requery.findings"], [
    { guard: "schema", why: /\/plan\/0 must have required property 'description'/ },
    { guard: "schema", why: "the JSON has none of the keys plan" },
  ])
})

test("the last attempt asks the cloud, with the client's key and body; the local host never sees that key", async (t) => {
  const rig = await startRequery(t, { answers: ['{"plan": []}'], cloud: PLAN })
  const answer = await rig.say(asking(FORMS.developmentPlan, { stream: true }), `${KEY}OpenAI-Organization: org-1\r\n`)
  t.equal(answer.said, PLAN)
  t.equal(answer.route, "cloud")
  t.equal(rig.bodies().length, 3, "the first answer and two attempts")
  const [cloud] = rig.cloud.requests
  t.equal(cloud === undefined ? "" : fieldOf(cloud, "authorization"), "Bearer sk-own")
  t.match(sentTo(rig.cloud, CHAT_PATH), { model: "gpt-4o", stream: true, top_k: undefined })
  for (const request of rig.local?.requests ?? []) t.equal(fieldOf(request, "authorization"), "Bearer local-key")
})

test("a base-URL request without a key of OpenAI's escalates with ours, and takes no other key along", async (t) => {
  const rig = await startRequery(t, {
    answers: ['{"plan": []}'],
    cloud: PLAN,
    env: { OPENAI_API_KEY: "sk-ours", LLMPROXY_REQUERY_ATTEMPTS: "1" },
  })
  const answer = await rig.say(asking(FORMS.developmentPlan), "Authorization: Bearer lm-studio\r\nCookie: a=b\r\n")
  t.equal(answer.said, PLAN)
  const [cloud] = rig.cloud.requests
  t.equal(cloud === undefined ? "" : fieldOf(cloud, "authorization"), "Bearer sk-ours")
  t.notMatch(cloud?.head, /cookie|lm-studio/i)
})

test("our key escalates for no page of another site, and for nobody of another machine who has not authenticated", async (t) => {
  const env = { OPENAI_API_KEY: "sk-ours", LLMPROXY_REQUERY_ATTEMPTS: "1" }
  const start = (flags: Record<string, unknown>) =>
    startRequery(t, { answers: ['{"plan": []}'], cloud: PLAN, env, flags })
  const door = await start({ baseOrigin: ["https://my.example"] })
  for (const [fields, status] of [
    ["Sec-Fetch-Site: cross-site\r\n", 403],
    ["Sec-Fetch-Site: same-site\r\nOrigin: https://other.example\r\n", 403],
    ["Sec-Fetch-Site: cross-site\r\nOrigin: https://my.example\r\n", 200],
  ] as const) {
    t.equal((await door.say(asking(FORMS.developmentPlan), fields)).status, status, fields)
    t.equal(door.cloud.requests.length, status === 200 ? 1 : 0)
  }
  const open = await start({ host: "0.0.0.0" })
  t.equal((await open.say(asking(FORMS.developmentPlan))).status, 502)
  t.equal(open.cloud.requests.length, 0)
})

test("an intercepted request escalates to the host that its client meant", async (t) => {
  const rig = await startRequery(t, { answers: ['{"plan": []}'], cloud: PLAN, env: { LLMPROXY_REQUERY_ATTEMPTS: "1" } })
  const wire = await rig.through()
  wire.write(
    message(
      "POST",
      CHAT_PATH,
      CLOUD,
      { model: "m", ...asking(FORMS.developmentPlan) },
      "Authorization: Bearer any\r\n",
    ),
  )
  t.match((await wire.response("POST")).text, /Write it/)
  t.equal(rig.cloud.requests.length, 1)
})

test("without a usable key, with escalate off, or with the wish to stay local, nothing leaves the machine", async (t) => {
  for (const [fields, env] of [
    ["", {}],
    ["Authorization: Bearer sk-dummy\r\n", {}],
    ["Authorization: Bearer lm-studio\r\n", {}],
    [KEY, { LLMPROXY_REQUERY_ESCALATE: "false" }],
    [`${KEY}x-llmproxy-route: local\r\n`, { OPENAI_API_KEY: "sk-ours" }],
    ["", { OPENAI_API_KEY: "none" }],
  ] as const) {
    const rig = await startRequery(t, { answers: ['{"plan": []}'], cloud: PLAN, env })
    const answer = await rig.say(asking(FORMS.developmentPlan), fields)
    t.equal(answer.status, 502)
    t.match(JSON.parse(answer.text).error, { code: "answer_rejected", message: /empty-plan: "plan" is empty/ })
    t.equal(rig.bodies().length, 4)
    t.equal(rig.cloud.requests.length, 0)
  }
})

test("a guard's own attempts and the deadline end it sooner", async (t) => {
  const few = await startRequery(t, { answers: ["{"], env: { LLMPROXY_REQUERY_GUARDS: "json=hold:1" } })
  t.equal((await few.say(asking(FORMS.developmentPlan))).status, 502)
  t.equal(few.bodies().length, 2)
  const clock = new ManualClock(Date.now())
  const late = await startRequery(t, { answers: ['{"plan": []}', Buffer.alloc(0)], clock })
  const asked = late.say(asking(FORMS.developmentPlan))
  await late.local?.received(2)
  clock.advance(120_000)
  t.equal((await asked).status, 502)
  t.equal(late.bodies().length, 2)
})

test("a client that waits for a stream is kept alive while it is asked again", async (t) => {
  const clock = new ManualClock(Date.now())
  const rig = await startRequery(t, { answers: ['{"plan": []}', Buffer.alloc(0)], clock })
  const wire = await rig.door()
  const body = { model: "m", ...asking(FORMS.developmentPlan, { stream: true }) }
  wire.write(message("POST", CHAT_PATH, `127.0.0.1:${rig.port}`, body))
  await rig.local?.received(2)
  clock.advance(5_000)
  await wire.until(": ")
  clock.advance(120_000)
  await wire.until('"code":"answer_rejected"')
  t.pass()
})

test("what guards do not look at streams on untouched: tool calls, several choices, log probabilities, stored answers", async (t) => {
  const call = { id: "1", type: "function", function: { name: "f", arguments: "{}" } }
  const calls = jsonAnswer(
    chatJson("", {
      choices: [
        { index: 0, message: { role: "assistant", content: null, tool_calls: [call] }, finish_reason: "tool_calls" },
      ],
    }),
  )
  const tools = await startRequery(t, { answers: [calls] })
  t.match((await tools.say(asking(FORMS.developmentPlan))).text, /"tool_calls":/)
  t.equal(tools.bodies().length, 1)
  for (const more of [{ n: 2 }, { logprobs: true }, { store: true }, { previous_response_id: "r" }]) {
    const rig = await startRequery(t, { answers: ['{"plan": []}'] })
    t.equal((await rig.say(asking(FORMS.developmentPlan, more))).said, '{"plan": []}', Object.keys(more).join())
  }
})

test("thoughts are set aside: a plan in them is none, and an answer of nothing else is empty", async (t) => {
  const thinking = `<think>{"plan": []} would be wrong.</think>\n${PLAN}`
  const rig = await startRequery(t, { answers: [thinking] })
  t.equal((await rig.say(asking(FORMS.developmentPlan, { stream: true }))).said, PLAN)
  const silent = await startRequery(t, { answers: ["<think>Hm.</think>", PLAN] })
  t.equal((await silent.say(asking(FORMS.developmentPlan))).said, PLAN)
  t.match(silent.asked().metadata["requery.findings"], [{ guard: "empty" }])
})

test("observe only says what is wrong; guard lets the answer stream on", async (t) => {
  for (const mode of ["observe", "guard"]) {
    const events = [chatEvent('{"plan": []}'), FINISH, DONE]
    const rig = await startRequery(t, { answers: [sseAnswer(...events)], env: { LLMPROXY_REQUERY_MODE: mode } })
    t.equal((await rig.say(asking(FORMS.developmentPlan, { stream: true }))).text, events.join(""))
    await until(() => rig.flows.some(({ parent }) => parent === undefined))
    t.match(rig.asked().metadata["requery.findings"], [{ guard: "empty-plan", mode }])
    t.match(rig.lines.join("\n"), new RegExp(`empty-plan \\(${mode}\\): "plan" is empty`))
  }
})

test("guards that are none are refused at start, with what may be written", async (t) => {
  for (const [guards, why] of [
    ["emptyplan", /NAME=MODE:ATTEMPTS, NAME one of runaway, empty/],
    ["json=often", /the mode is one of observe, guard, hold/],
  ] as const)
    await t.rejects(startRequery(t, { answers: [], env: { LLMPROXY_REQUERY_GUARDS: guards } }), why)
})

test("GPT Pilot's words for a form are those that are looked for", (t) => {
  t.match(wantsJson({}).content, /Here is the schema for the expected JSON object:\n```json\n/)
  t.end()
})

test("the next attempt is warmer and has another seed, also where parameters stand one level down", async (t) => {
  const rig = await startRequery(t, { answers: ['{"plan": []}', PLAN] })
  await rig.say(asking(FORMS.developmentPlan, { seed: 7, temperature: 1.1 }))
  t.match(rig.bodies(), [{ seed: 7 }, { seed: 8, temperature: 1.2 }])
  const ollama = await startRequery(t, { answers: ['{"plan": []}', PLAN] })
  await ollama.say(asking(FORMS.developmentPlan, { options: { num_ctx: 8_192, temperature: 0 } }))
  t.match(ollama.bodies()[1], { options: { num_ctx: 8_192, temperature: 0.3 } })
  t.notOk("temperature" in (ollama.bodies()[1] ?? {}))
})

test("guard asks again where the client waits for JSON: nothing irreversible has been sent", async (t) => {
  const rig = await startRequery(t, { answers: ['{"plan": []}', PLAN], env: { LLMPROXY_REQUERY_MODE: "guard" } })
  const answer = await rig.say(asking(FORMS.developmentPlan))
  t.equal(answer.said, PLAN)
  t.equal(answer.requery, "1;guard=empty-plan")
})

test("a refusal is an answer", async (t) => {
  const choices = [{ index: 0, message: { role: "assistant", content: null, refusal: "No." }, finish_reason: "stop" }]
  const rig = await startRequery(t, { answers: [jsonAnswer(chatJson("", { choices }))] })
  t.match((await rig.say({})).text, /"refusal":"No\."/)
  t.equal(rig.bodies().length, 1)
})
