/** What attempts cost: added up once on the client's flow, whoever looks on, and never in what the client is told. */
import { test } from "tap"
import type { Flow, Usage } from "../../../lib/api/flow.ts"
import { knownUsage } from "../../../lib/cli/terminal/flow-usage.ts"
import { Summary } from "../../../lib/cli/terminal/summary.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { CHAT_PATH } from "../../helpers/conductor-rig.ts"
import {
  chatEvent,
  chatJson,
  chunk,
  DONE,
  FINISH,
  jsonAnswer,
  SSE_HEAD,
  sseAnswer,
} from "../../helpers/hosts/proxy-host.ts"
import { asking, FORMS, message, type RequeryRigOptions, startRequery } from "../../helpers/requery-rig.ts"

const PLAN = '{"plan": [{"description": "Write it."}]}'
const EMPTY = '{"plan": []}'
const usage = (prompt: number, completion: number) => ({
  usage: { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion },
})
const costing = (text: string, prompt: number, completion: number) =>
  jsonAnswer(chatJson(text, usage(prompt, completion)))

/** What an addon hears: once for each flow, and which answer. */
function listener() {
  const heard: { isChild: boolean; text: string; usage: Usage }[] = []
  return {
    heard,
    addon: {
      name: "listens",
      llmResponse(flow: Flow, completion: { text: string; usage: Usage }) {
        heard.push({ isChild: flow.parent !== undefined, text: completion.text, usage: completion.usage })
      },
    },
  }
}

async function start(t: Parameters<typeof startRequery>[0], options: RequeryRigOptions) {
  const before = listener()
  const rig = await startRequery(t, { ...options, builtin: [before.addon] })
  return { rig, own: () => before.heard.filter(({ isChild }) => !isChild) }
}

test("the usage of all attempts is added up on the client's flow, the body says the accepted answer's", async (t) => {
  const answers = [costing(EMPTY, 10, 1), costing(EMPTY, 20, 2), costing(PLAN, 30, 3)]
  const { rig, own } = await start(t, { answers })
  const { text, requery } = await rig.say(asking(FORMS.developmentPlan))
  t.match(JSON.parse(text).usage, { prompt_tokens: 30, completion_tokens: 3, total_tokens: 33 })
  t.equal(requery, "2;guard=empty-plan")
  const sum = { inputTokens: 60, outputTokens: 6, totalTokens: 66, source: "provider" }
  t.equal(own().length, 1, "others hear of one answer")
  t.match(own(), [{ text: PLAN, usage: sum }], "the one that the client got")
  t.match(rig.asked().llm?.completion?.usage, sum)
  const children = rig.flows.filter(({ parent }) => parent !== undefined)
  t.strictSame(
    children.map(({ llm }) => llm?.completion?.usage.totalTokens),
    [11, 22, 33],
    "each attempt has its own",
  )
  const summary = new Summary()
  for (const flow of rig.flows) {
    const known = knownUsage(flow)
    if (flow.parent === undefined && known !== undefined) summary.add(flow, known)
  }
  t.match(summary.text(), "tokens: 60 in, 6 out", "as the terminal adds it up")
})

test("a mended answer costs what it cost, and what was rejected before it", async (t) => {
  const first = await start(t, { answers: [costing(`Sure!\n${PLAN}`, 10, 5)] })
  t.equal((await first.rig.say(asking(FORMS.developmentPlan))).said, PLAN)
  t.match(first.rig.asked().llm?.completion?.usage, { inputTokens: 10, outputTokens: 5, source: "provider" })
  t.match(first.own(), [{ text: PLAN }])
  const second = await start(t, { answers: [costing(EMPTY, 10, 1), costing(`Sure!\n${PLAN}`, 20, 5)] })
  const { said, requery } = await second.rig.say(asking(FORMS.developmentPlan))
  t.strictSame([said, requery], [PLAN, "1;guard=empty-plan"])
  t.match(second.rig.asked().llm?.completion?.usage, { inputTokens: 30, outputTokens: 6, source: "provider" })
})

test("what was rejected to the end was paid for all the same, and the others hear of the error", async (t) => {
  const { rig, own } = await start(t, { answers: [costing(EMPTY, 10, 1)] })
  const { status, requery } = await rig.say(asking(FORMS.developmentPlan))
  t.strictSame([status, requery], [502, "3;guard=empty-plan"])
  t.equal(own().length, 0)
  const { llm } = rig.asked()
  t.match(llm?.error, { code: "answer_rejected" })
  t.match(llm?.completion?.usage, { inputTokens: 40, outputTokens: 4, totalTokens: 44, source: "provider" })
})

test("attempts of hosts that tell no usage are counted, each once", async (t) => {
  for (const stream of [true, false]) {
    for (const answers of [[EMPTY, PLAN], [EMPTY]]) {
      const { rig } = await start(t, { answers })
      await rig.say(asking(FORMS.developmentPlan, { stream }))
      const alone = await start(t, { answers: [PLAN] })
      await alone.rig.say(asking(FORMS.developmentPlan, { stream }))
      const once = knownUsage(alone.rig.asked()) ?? { input: undefined }
      const { source, inputTokens = 0, outputTokens = 0 } = rig.asked().llm?.completion?.usage ?? {}
      const attempts = answers.length === 2 ? 2 : 4
      t.equal(source, "counted")
      t.ok(inputTokens >= attempts * 50 && inputTokens % attempts === 0, `${inputTokens} for ${attempts} attempts`)
      t.ok(outputTokens >= attempts * 4, `${outputTokens}`)
      t.equal(once.input, undefined, "without an attempt, whoever shows it counts")
    }
  }
})

test("an attempt that was stopped or broke off costs what came of it; one that was refused costs nothing", async (t) => {
  const line = "round and round it goes, where it stops nobody knows. "
  const looping = sseAnswer(...Array.from({ length: 60 }, () => chatEvent(line)), FINISH, DONE)
  const broken = Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("I was")), Buffer.from("zzz\r\n")])
  const refused = jsonAnswer({ error: { message: "busy" } }, "503 Service Unavailable")
  // Not ended early: its end tells what it cost.
  const first = sseAnswer(
    chatEvent('{"plan": [{"step": 1}]}'),
    FINISH,
    `data: ${JSON.stringify({ choices: [], ...usage(100, 1) })}\n\n`,
    DONE,
  )
  const last = sseAnswer(
    chatEvent(PLAN),
    FINISH,
    `data: ${JSON.stringify({ choices: [], ...usage(100, 9) })}\n\n`,
    DONE,
  )
  const outputs: number[] = []
  for (const between of [looping, broken, refused]) {
    const { rig } = await start(t, { answers: [first, between, last] })
    const { said } = await rig.say(asking(FORMS.developmentPlan, { stream: true }))
    t.equal(said, PLAN)
    const { inputTokens = 0, outputTokens = 0 } = rig.asked().llm?.completion?.usage ?? {}
    t.equal(inputTokens > 200, between !== refused, "the prompt was read")
    outputs.push(outputTokens - 10)
  }
  t.ok((outputs[0] ?? 0) > 40, "the loop, as far as it was let go")
  t.ok((outputs[1] ?? 0) >= 1)
  t.equal(outputs[2], 0)
})

test("the escalation asks for the cloud's model of the option, else for the client's own", async (t) => {
  for (const [env, model] of [
    [{}, "gpt-4o"],
    [{ LLMPROXY_REQUERY_CLOUD_MODEL: "gpt-4.1-mini" }, "gpt-4.1-mini"],
  ] as const) {
    const { rig, own } = await start(t, {
      answers: [costing(EMPTY, 10, 1)],
      cloud: PLAN,
      env: { ...env, LLMPROXY_REQUERY_ATTEMPTS: "2", LLMPROXY_USAGE_INJECT: "true" },
      scripts: ["addons/requery.ts", "addons/usage.ts"],
    })
    const { requery, route, said } = await rig.say(
      asking(FORMS.developmentPlan, { stream: true }),
      "Authorization: Bearer sk-own\r\n",
    )
    t.strictSame([requery, route, said], ["2;guard=empty-plan", "cloud", PLAN])
    const body = JSON.parse(rig.cloud.requests[0]?.body.toString() ?? "{}")
    t.equal(body.model, model)
    t.notOk("stream_options" in body, "usage.inject is for what clients ask themselves")
    t.equal(own().length, 1)
    const { inputTokens = 0, outputTokens = 0, source } = own()[0]?.usage ?? {}
    t.equal(source, "counted", "the cloud's was")
    t.ok(inputTokens > 20 && outputTokens > 2, "and the two of the local host, once")
    t.match(rig.bodies(), [{ model: "gpt-4o" }, { model: "gpt-4o" }])
  }
})

test("a client that was kept alive has its head: how often was asked again stands in the reason", async (t) => {
  const clock = new ManualClock(Date.now())
  const { rig } = await start(t, { answers: [EMPTY, Buffer.alloc(0), PLAN], clock })
  const wire = await rig.door()
  wire.write(
    message("POST", CHAT_PATH, `127.0.0.1:${rig.port}`, asking(FORMS.developmentPlan, { model: "m", stream: true })),
  )
  await rig.local?.received(2)
  clock.advance(5_000)
  await wire.until(": ")
  rig.local?.close()
  await wire.until("answer_rejected")
  t.notMatch(wire.all, /x-llmproxy-requery/)
})
