/** Answers that go round in circles are stopped, while they stream as well as when they are held back. */
import { test } from "tap"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { localHost, startRig } from "../../helpers/conductor-rig.ts"
import {
  chatEvent,
  chatJson,
  chunk,
  DONE,
  FINISH,
  jsonAnswer,
  SSE_HEAD,
  sseAnswer,
  until,
} from "../../helpers/hosts/proxy-host.ts"
import { asking, FORMS, pieces, reply, saidIn, startRequery } from "../../helpers/requery-rig.ts"

const ROUND = "I will now write the file. "
const BEGINNING = "Let me think about what to do first.\n"
/** A stream that never ends. */
const ENDLESS = Buffer.concat([
  Buffer.from(SSE_HEAD),
  ...pieces(BEGINNING + ROUND.repeat(800)).map((piece) => chunk(chatEvent(piece))),
])
const GOOD = "The file is written."

test("a looping stream is stopped within 2 kB of the loop, with length for its finish reason, and so is the local host", async (t) => {
  const rig = await startRequery(t, { answers: [ENDLESS] })
  const { text, said } = await rig.say({ stream: true })
  t.ok(said.startsWith(BEGINNING + ROUND))
  t.ok(said.length - BEGINNING.length < 2_048, `${said.length}`)
  t.match(text, /"finish_reason":"length"[^\n]*\n\ndata: \[DONE\]\n\n$/)
  t.equal(text.split('finish_reason":"').length, 2, "it is said once")
  await until(() => rig.local?.open === 0)
  t.equal(rig.asked().llm?.completion?.finishReason.unified, "length")
  t.match(rig.asked().metadata["requery.findings"], [{ guard: "runaway", mode: "guard" }])
  t.equal(rig.bodies().length, 1)
})

test("a looping answer that is held back is asked for again; a second loop is stopped as well", async (t) => {
  const rig = await startRequery(t, {
    answers: [ENDLESS, ENDLESS, GOOD],
    env: { LLMPROXY_REQUERY_GUARDS: "runaway=hold" },
  })
  const { said, route } = await rig.say({ stream: true })
  t.equal(said, GOOD)
  t.equal(route, "local")
  t.equal(rig.bodies().length, 3)
  await until(() => rig.local?.open === 1)
  t.pass("the two that looped have been stopped")
})

test("a held answer in which a list has closed empty is not waited for to its end", async (t) => {
  const endless = Buffer.concat([
    Buffer.from(SSE_HEAD),
    chunk(chatEvent('```json\n{"pl')),
    chunk(chatEvent('an": [ ]')),
  ])
  const good = '{"plan": [{"description": "x"}]}'
  const rig = await startRequery(t, { answers: [endless, good] })
  t.equal((await rig.say(asking(FORMS.developmentPlan, { stream: true }))).said, good)
  t.match(rig.asked().metadata["requery.findings"], [{ guard: "empty-plan" }])
  const update = '{"updated_current_task": {"description": "x"}, "plan": []}'
  const done = await startRequery(t, { answers: [update] })
  t.equal((await done.say(asking(FORMS.developmentPlan, { stream: true }))).said, update, "it is the plan's end")
  const example = `As in {"plan": []}, but full:\n${good}`
  const other = await startRequery(t, { answers: [example] })
  t.equal((await other.say(asking(FORMS.developmentPlan, { stream: true }))).said, good, "an example is none")
})

test("a loop in an answer that came whole, and one in the reasoning, are found", async (t) => {
  const whole = jsonAnswer(chatJson(BEGINNING + ROUND.repeat(40)))
  const rig = await startRequery(t, { answers: [whole, GOOD], env: { LLMPROXY_REQUERY_MODE: "hold" } })
  t.equal((await rig.say({})).said, GOOD)
  const think = (text: string) => {
    const choices = [{ index: 0, delta: { reasoning_content: text }, finish_reason: null }]
    return `data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", created: 7, model: "up", choices })}\n\n`
  }
  const thoughts = sseAnswer(...pieces(ROUND.repeat(40)).map(think), chatEvent("late"), FINISH, DONE)
  const thinking = await startRequery(t, { answers: [thoughts] })
  const { text, said } = await thinking.say({ stream: true })
  t.equal(said, "")
  t.match(text, /"finish_reason":"length"/)
})

test("an answer that the conductor gave from a raw prompt is asked for again by that prompt", async (t) => {
  const completion = (text: string) => ({
    id: "cmpl-1",
    object: "text_completion",
    created: 7,
    model: "deepseek-coder-6.7b",
    choices: [{ index: 0, text: `${text}\n<|EOT|>`, finish_reason: "stop", logprobs: null }],
  })
  const answers = ['{"plan": []}', '{"plan": [{"description": "x"}]}']
  const bodies: { prompt?: string; temperature?: number }[] = []
  const rig = await startRig(t, {
    clock: new ManualClock(Date.now()),
    local: localHost((request, socket) => {
      bodies.push(JSON.parse(request.body.toString()))
      socket.write(reply(jsonAnswer(completion(answers[Math.min(bodies.length, 2) - 1] ?? "")), request))
    }),
    set: { localApi: "completions" },
    scripts: ["addons/conductor.ts", "addons/requery.ts"],
  })
  const response = await rig.chat(asking(FORMS.developmentPlan, { stream: true }))
  t.equal(saidIn(response.text), answers[1], "the mark that ends its turn is taken off")
  t.equal(response.headers.get("x-llmproxy-route"), "local")
  t.match(
    bodies.at(-1)?.prompt,
    /expected JSON object[\s\S]*\n\nYour last answer had an empty plan\.[^\n]*\n+### Response:\n$/,
  )
  t.equal(bodies.at(-1)?.temperature, 0.6)
})
