/** Behind the conductor, an empty local answer is asked for again before the cloud is. */
import type { Test } from "tap"
import { test } from "tap"
import { isGptPilots } from "../../../addons/requery/gpt-pilot.ts"
import { fieldOf, localHost, type Rig, startRig } from "../../helpers/conductor-rig.ts"
import { chatEvent, chatJson, DONE, FINISH, jsonAnswer, sseAnswer } from "../../helpers/hosts/proxy-host.ts"
import { PILOT, pieces, reply, saidIn } from "../../helpers/requery-rig.ts"

const EMPTY = { stream: sseAnswer(FINISH, DONE), whole: jsonAnswer(chatJson("")) }
const CLOUD = jsonAnswer(chatJson("From the cloud."))
const BLANK = sseAnswer(chatEvent(" \n"), FINISH, DONE)

interface Started {
  readonly rig: Rig
  readonly asked: { messages: { content: string }[]; temperature: number }[]
}

async function start(t: Test, answers: (string | Buffer)[], more: object = {}, scripts = true): Promise<Started> {
  const asked: Started["asked"] = []
  const rig = await startRig(t, {
    local: localHost((request, socket) => {
      asked.push(JSON.parse(request.body.toString()))
      socket.write(reply(answers[Math.min(asked.length, answers.length) - 1] ?? "", request))
    }),
    cloud: (_, socket) => void socket.write(CLOUD),
    set: { localApi: "messages" },
    scripts: ["addons/conductor.ts", ...(scripts ? ["addons/requery.ts"] : [])],
    ...more,
  })
  return { rig, asked }
}

test("an empty local answer is asked for again, with a word more, and the cloud is not asked", async (t) => {
  for (const [stream, empty] of [
    [true, EMPTY.stream],
    [true, BLANK],
    [false, EMPTY.whole],
  ] as const) {
    const { rig, asked } = await start(t, [empty, "Here I am."])
    const { text, headers } = await rig.chat({ stream }, "Authorization: Bearer sk-own\r\n")
    t.equal(saidIn(text), "Here I am.")
    t.equal(headers.get("x-llmproxy-route"), "local")
    t.equal(headers.get("x-llmproxy-requery"), "1;guard=empty")
    t.equal(asked.length, 2)
    t.match(asked[1]?.messages.at(-1)?.content, /Your last answer was empty/)
    t.equal(rig.cloud.requests.length, 0)
  }
})

test("where it stays empty the cloud is asked in the last attempt", async (t) => {
  for (const [fields, env, key] of [
    ["Authorization: Bearer sk-own\r\n", {}, "Bearer sk-own"],
    ["", { OPENAI_API_KEY: "sk-ours" }, "Bearer sk-ours"],
  ] as const) {
    const { rig, asked } = await start(t, [EMPTY.whole], { env })
    const { text, headers } = await rig.chat({}, fields)
    t.equal(saidIn(text), "From the cloud.")
    t.equal(headers.get("x-llmproxy-route"), "cloud")
    t.equal(asked.length, 3, "the first answer and two attempts")
    const [cloud] = rig.cloud.requests
    t.equal(cloud === undefined ? "" : fieldOf(cloud, "authorization"), key)
  }
})

test("what may not leave, or must not by requery.escalate, is asked for again locally alone", async (t) => {
  for (const [fields, env] of [
    ["", {}],
    ["Authorization: Bearer sk-own\r\nx-llmproxy-route: local\r\n", {}],
    ["Authorization: Bearer sk-own\r\n", { LLMPROXY_REQUERY_ESCALATE: "false" }],
  ] as const) {
    const { rig, asked } = await start(t, [EMPTY.whole], { env })
    const { status, text } = await rig.chat({}, fields)
    t.equal(status, 502)
    t.match(text, /answer_rejected/)
    t.equal(asked.length, 4)
    t.equal(rig.cloud.requests.length, 0)
  }
})

test("where the conductor alone has a key, it asks the cloud itself", async (t) => {
  const { rig, asked } = await start(t, [EMPTY.whole], { set: { localApi: "messages", cloudKey: "ours" } })
  t.equal(saidIn((await rig.chat({})).text), "From the cloud.")
  t.equal(asked.length, 1)
  const [cloud] = rig.cloud.requests
  t.equal(cloud === undefined ? "" : fieldOf(cloud, "authorization"), "Bearer ours")
})

test("without a guard that acts, the cloud is asked at once, as it is without the re-query", async (t) => {
  for (const guards of ["empty=observe", "json=hold", "empty=guard:0", undefined]) {
    const env = guards === undefined ? {} : { LLMPROXY_REQUERY_GUARDS: guards }
    const { rig, asked } = await start(t, [EMPTY.whole], { env }, guards !== undefined)
    t.equal(saidIn((await rig.chat({}, "Authorization: Bearer sk-own\r\n")).text), "From the cloud.", `${guards}`)
    t.equal(asked.length, 1)
  }
})

test("an answer without a byte, and one that a filter has emptied, are not asked for again", async (t) => {
  const filtered = chatJson("", {
    choices: [{ index: 0, message: { role: "assistant", content: "" }, finish_reason: "content_filter" }],
  })
  for (const answer of [jsonAnswer(filtered), Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]) {
    const { rig, asked } = await start(t, [answer])
    t.equal(saidIn((await rig.chat({}, "Authorization: Bearer sk-own\r\n")).text), "From the cloud.")
    t.equal(asked.length, 1)
  }
})

test("an answer with words streams on, and is not held for being empty", async (t) => {
  const { rig } = await start(t, [sseAnswer(...pieces("Some words.").map((piece) => chatEvent(piece)), FINISH, DONE)])
  t.equal(saidIn((await rig.chat({ stream: true })).text), "Some words.")
})

test("where no guard judges, an empty answer is the cloud's to mend, or refused, as without the re-query", async (t) => {
  const two = chatJson("", {
    choices: [0, 1].map((index) => ({ index, message: { role: "assistant", content: "" }, finish_reason: "stop" })),
  })
  for (const [name, body, answer] of [
    ["store", { store: true }, EMPTY.whole],
    ["store, streamed", { store: true, stream: true }, EMPTY.stream],
    ["n", { n: 2 }, EMPTY.whole],
    ["logprobs", { logprobs: true }, EMPTY.whole],
    ["top_logprobs", { logprobs: true, top_logprobs: 2 }, EMPTY.whole],
    ["previous_response_id", { previous_response_id: "resp_1" }, EMPTY.whole],
    ["two choices that nobody asked for", {}, jsonAnswer(two)],
  ] as const) {
    const { rig, asked } = await start(t, [answer])
    const { text, headers } = await rig.chat(body, "Authorization: Bearer sk-own\r\n")
    t.equal(saidIn(text), "From the cloud.", name)
    t.equal(headers.get("x-llmproxy-route"), "cloud", name)
    t.equal(asked.length, 1, name)
    const [judged, plain] = [await start(t, [answer]), await start(t, [answer], {}, false)]
    const [refused, without] = [await judged.rig.chat(body), await plain.rig.chat(body)]
    t.ok(refused.status >= 400, name)
    t.equal(refused.status, without.status, name)
    t.equal(judged.rig.cloud.requests.length + plain.rig.cloud.requests.length, 0)
  }
})

test("GPT Pilot's requests are known as its own where the usage addon has asked for usage in them", async (t) => {
  const scripts = ["addons/usage.ts", "addons/conductor.ts", "addons/requery.ts"]
  const question = "Which database should the application keep its notes in?"
  for (const inject of ["false", "true"]) {
    const { rig, asked } = await start(t, [question, "A specification."], {
      scripts,
      env: { LLMPROXY_USAGE_INJECT: inject },
    })
    const messages = [
      { role: "user", content: "An app for notes." },
      { role: "assistant", content: question },
      { role: "user", content: "SQLite." },
    ]
    const { text } = await rig.chat({ ...PILOT, messages }, "Authorization: Bearer sk-own\r\n")
    t.equal(saidIn(text), "A specification.", inject)
    t.equal(asked.length, 2, inject)
  }
  t.ok(isGptPilots({ ...PILOT, stream_options: { include_usage: true } }))
  t.notOk(isGptPilots({ ...PILOT, seed: 1 }))
})
