/** Which profile a request gets, and what it makes of it. */
import { readFileSync } from "node:fs"
import { test } from "tap"
import { BELIEVED_MS } from "../../addons/profiles/choices.ts"
import type { JsonObject } from "../../lib/base/json.ts"
import { chat, lastBody, OLD_PROFILE, startProfiles } from "./profiles/rig.ts"

const NAMED = (name: string) => ({ "x-llmproxy-profile": name })
const KEY = (word: string) => ({ Authorization: word })
const LIST: JsonObject = {
  brief: { system: "Be brief.", temperature: 0.2, overrides: { top_p: 0.5 } },
  other: { model: "vicuna-13b-v1.5.Q5_K_M.gguf", seed: 7 },
  plain: { temperature: 0.9 },
}
const choose = (profile: string, word: string, more: JsonObject = {}) => ({
  url: "/models/model",
  headers: KEY(word),
  json: { model_config: profile, ...more },
})

test("of a request only what the profile says changes, and what a client says counts before a default", async (t) => {
  const addon = await startProfiles(t, { list: LIST })
  await addon.request(chat({ temperature: 1.5, top_p: 0.1, user: "ann" }, NAMED("brief")))
  t.same(lastBody(addon), {
    model: "qwen3-4b",
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi." },
    ],
    temperature: 1.5,
    top_p: 0.5,
    user: "ann",
  })
  t.notOk(addon.asked.at(-1)?.headers.has("x-llmproxy-profile"))
  const raw = '{"messages": [ {"role": "user", "content": "Hi."} ],  "model":"qwen3-4b", "x" : 1.0}'
  await addon.request({ url: "/v1/chat/completions", text: raw, headers: NAMED("plain") })
  t.match(addon.asked.at(-1)?.text ?? "", /"messages": \[ \{"role": "user", "content": "Hi."\} \],? .*"x" : 1\.0/)
  await addon.request({ url: "/v1/chat/completions", text: raw })
  t.equal(addon.asked.at(-1)?.text, raw, "without a profile")
})

test("the header counts before the model, that before the key, and that before the default of all", async (t) => {
  const list = Object.fromEntries(["a", "b", "c", "d"].map((name, at) => [name, { seed: at, model: "qwen3-4b" }]))
  const addon = await startProfiles(t, { list, default: "d" })
  const seedOf = async (model: string, headers: Record<string, string>) => {
    await addon.request(chat({ model }, headers))
    return lastBody(addon).seed
  }
  t.equal(await seedOf("profile:b", { ...NAMED("a"), ...KEY("with-c") }), 0)
  t.equal(await seedOf("profile:b", KEY("with-c")), 1)
  t.equal(await seedOf("qwen3-4b", KEY("with-c")), 2)
  t.equal(await seedOf("qwen3-4b", KEY("ann")), 3)
  t.equal(addon.flows.at(-1)?.metadata["profiles.profile"], "d")
})

test("a profile that is not there is 400 with those that are, whoever names it", async (t) => {
  const addon = await startProfiles(t, { list: LIST })
  for (const request of [chat({}, NAMED("nope")), chat({ model: "profile:nope" }), chat({}, KEY("with-nope"))]) {
    const answer = await addon.request(request)
    t.equal(answer.status, 400)
    t.match(answer.error, {
      code: "unknown_profile",
      message: /"nope", and none is called so; there are brief, other, plain/,
    })
  }
  const answer = await addon.request(chat({ model: "profile:brief" }))
  t.match([answer.status, answer.error?.code], [400, "no_model"])
  t.equal(addon.asked.length, 0)
})

test("through the proxy only a header or the model's name chooses", async (t) => {
  const addon = await startProfiles(t, { list: LIST, default: "other" })
  await addon.chat("Hi.")
  t.equal(lastBody(addon).seed, undefined)
  await addon.request({
    headers: NAMED("plain"),
    json: { model: "gpt-4o", messages: [{ role: "user", content: "Hi." }] },
  })
  t.equal(lastBody(addon).temperature, 0.9)
})

test("POST /models/model chooses for all with an admin's key, and with another for that key alone", async (t) => {
  const confdir = t.testdir()
  const addon = await startProfiles(t, { list: LIST }, { confdir })
  const ask = async (word: string) => {
    await addon.request(chat({}, KEY(word)))
    return { model: lastBody(addon).model, temperature: lastBody(addon).temperature }
  }
  for (const url of ["/models/model", "/models/model/"]) {
    const answer = await addon.request({ ...choose("other", "master"), url })
    t.same([answer.status, answer.json()], [200, { model_status: true }])
  }
  t.same((await addon.request(choose("plain", "ann", { model: "qwen3-4b" }))).json(), { model_status: true })
  t.match(await ask("ann"), { model: "qwen3-4b", temperature: 0.9 })
  t.match(await ask("bob"), { model: "vicuna-13b-v1.5.Q5_K_M.gguf", temperature: undefined })
  await addon.close()
  const again = await startProfiles(t, { list: LIST }, { confdir })
  await again.request(chat({}, KEY("ann")))
  t.equal(lastBody(again).temperature, 0.9, "after a restart")
  await again.records("choices").set("key:k_ann", { profile: "brief" })
  again.clock.advance(BELIEVED_MS)
  await again.request(chat({}, KEY("ann")))
  t.equal(lastBody(again).temperature, 0.2, "by another llmproxy on the database")
  await again.records("choices").set("key:k_ann", { profile: "gone" })
  again.clock.advance(BELIEVED_MS)
  await again.request(chat({}, KEY("ann")))
  t.equal(lastBody(again).model, "vicuna-13b-v1.5.Q5_K_M.gguf", "one that is gone is as if nobody had chosen it")
})

test("with sharedSwitch every key chooses for all, and without keys whoever is on this machine does", async (t) => {
  const addon = await startProfiles(t, { list: LIST, sharedSwitch: true })
  await addon.request(choose("plain", "ann"))
  await addon.request(chat({}, KEY("bob")))
  t.equal(lastBody(addon).temperature, 0.9)
  await addon.request({ url: "/models/model", json: { model_config: "brief" } })
  await addon.request(chat({}, KEY("bob")))
  t.equal(lastBody(addon).temperature, 0.2)
})

test("what cannot be chosen is 200 with what is wrong; who has no key gets 401 in its form", async (t) => {
  const addon = await startProfiles(t, { list: LIST })
  const said = async (json: JsonObject | string) => {
    const body = typeof json === "string" ? { text: json, headers: { "Content-Type": "application/json" } } : { json }
    const answer = await addon.request({ url: "/models/model", ...body })
    t.equal(answer.status, 200)
    return String(Object(answer.json()).model_status)
  }
  t.match(await said({ model: "x.gguf", model_config: "brief" }), /no model is called "x.gguf"; there are qwen3-4b/)
  t.match(await said({ model: "x.gguf", model_config: "nope" }), /no profile is called "nope"; there are brief/)
  t.match(await said({ model: 7, model_config: "brief" }), /model: must be a model's name/)
  t.match(await said({}), /model_config: must be the name of a profile/)
  t.match(await said("{"), /no JSON/)
  const answer = await addon.request(choose("brief", "unknown"))
  t.same([answer.status, answer.json()], [401, { message: "Unauthorized" }])
  t.match((await addon.request({ url: "/docs/openapi.json" })).text, /"\/models\/model"/)
})

test("a template takes the place of the messages, with the system's before it; a request that it cannot hold goes as it is", async (t) => {
  const list = { t: { template: "T {chat_history} / {input}", system: "S", raw: false } }
  const addon = await startProfiles(t, { list })
  const messages = [
    { role: "system", content: "Mine {input}." },
    { role: "user", content: "{input}" },
    { role: "assistant", content: "{chat_history}" },
    { role: "user", content: "Last {x}" },
  ]
  await addon.request(chat({ messages }, NAMED("t")))
  const content = "S\n\nMine {input}.\n\nT Human: {input}\nAI: {chat_history} / Last {x}"
  t.same(lastBody(addon).messages, [{ role: "user", content }])
  const tools = [{ type: "function", function: { name: "f", parameters: {} } }]
  await addon.request(chat({ tools }, NAMED("t")))
  t.match(lastBody(addon).messages, [
    { role: "system", content: "S" },
    { role: "user", content: "Hi." },
  ])
})

test("a rendered profile goes as a raw prompt to a .gguf, and its answer is the chat's, stream or not", async (t) => {
  const addon = await startProfiles(t, { list: { v: { ...OLD_PROFILE, stop: ["Human:"] } } })
  for (const stream of [false, true]) {
    const answer = await addon.request(chat({ stream, max_completion_tokens: 9, top_logprobs: 1 }, NAMED("v")))
    t.equal(answer.completion?.text, "Hello.")
    t.equal(addon.asked.at(-1)?.url, "http://127.0.0.1:1234/v1/completions")
    t.match(lastBody(addon), {
      model: "vicuna-13b-v1.5.Q5_K_M.gguf",
      prompt: "You are a chatbot. \n\n \n\nPROMPT: Hi. \n\nBOT:",
      max_tokens: 9,
      temperature: 0.7,
      top_k: 40,
      repeat_penalty: 1.1,
      stop: ["Human:"],
    })
    for (const field of ["messages", "max_completion_tokens", "top_logprobs"]) t.notOk(field in lastBody(addon), field)
  }
})

test("a host without raw prompts gets the text as a message, and is not asked again", async (t) => {
  const addon = await startProfiles(t, { list: { v: { ...OLD_PROFILE } } })
  addon.answer(({ url }) => (url.endsWith("/v1/completions") ? { status: 404, text: "no" } : "Hello."))
  for (const count of [2, 3]) {
    const answer = await addon.request(chat({}, NAMED("v")))
    t.equal(answer.completion?.text, "Hello.")
    t.equal(addon.asked.length, count)
    t.match(lastBody(addon).messages, [{ role: "user", content: /^You are a chatbot.*PROMPT: Hi/s }])
  }
  addon.answer({ status: 500, json: { error: { message: "broken", code: "server_error" } } })
  await addon.set({ list: { v: { ...OLD_PROFILE, raw: true } } })
  t.equal((await addon.request(chat({}, NAMED("v")))).status, 500, "what fails otherwise is told")
})

test("Anthropic's and Ollama's requests get what they have a place for", async (t) => {
  const list = {
    p: {
      system: "S",
      temperature: 0.5,
      top_k: 4,
      stop: "X",
      max_tokens: 50,
      repeat_penalty: 1.2,
      template: "T {input}",
    },
    s: {
      system: "S",
      temperature: 0.5,
      top_k: 4,
      stop: "X",
      max_tokens: 50,
      repeat_penalty: 1.2,
      overrides: { top_p: 0.3 },
    },
  }
  const upstreams = {
    claude: { url: "http://127.0.0.1:1/", dialect: "anthropic-messages", models: ["c"] },
    ollama: { url: "http://127.0.0.1:2/", dialect: "ollama", models: ["o"] },
  }
  const addon = await startProfiles(t, { list }, { upstreams })
  const messages = [{ role: "user", content: "Hi." }]
  const claude = (profile: string) => ({
    ...{ url: "/v1/messages", headers: { ...NAMED(profile), "anthropic-version": "2023-06-01" } },
    json: { model: "c", max_tokens: 9, system: "Mine.", messages },
  })
  t.equal((await addon.request(claude("s"))).completion?.text, "Hello.")
  const sampling = { temperature: 0.5, top_k: 4 }
  t.same(lastBody(addon), {
    model: "c",
    max_tokens: 9,
    system: "S\n\nMine.",
    messages,
    ...sampling,
    top_p: 0.3,
    stop_sequences: ["X"],
  })
  await addon.request(claude("p"))
  t.match(lastBody(addon), { system: undefined, messages: [{ role: "user", content: "S\n\nMine.\n\nT Hi." }] })
  await addon.request({ url: "/api/chat", headers: NAMED("s"), json: { model: "o", messages, options: { top_k: 9 } } })
  const options = { temperature: 0.5, top_k: 9, top_p: 0.3, num_predict: 50, stop: "X", repeat_penalty: 1.2 }
  t.match(lastBody(addon), { options, messages: [{ role: "system", content: "S" }, ...messages] })
})

test("docs/profiles.md shows what is so", async (t) => {
  const page = readFileSync("docs/profiles.md", "utf8")
  for (const word of ["x-llmproxy-profile", "profile:NAME", "profiles.file", "profiles.sharedSwitch"])
    t.match(page, word)
})
