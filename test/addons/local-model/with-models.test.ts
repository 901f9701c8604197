/** The addon `local-model` behind `models`, which lists its models and sends to it; and what is asked of it otherwise. */
import { test } from "tap"
import localModel from "../../../addons/local-model.ts"
import models from "../../../addons/models.ts"
import { defineAddon } from "../../../lib/api/addon.ts"
import type { Answer } from "../../../lib/api/flow.ts"
import { ask, startLocal } from "./rig.ts"

const CLOUD = { cloud: { url: "https://api.openai.com/v1", models: ["gpt-4.1"] } }

test("models lists what is on this machine, and sends there: by name, by UPSTREAM/ID, by a route, after a failure", async (t) => {
  const routes = [
    { model: "mine", to: [{ upstream: "local-model", model: "tiny.gguf" }] },
    {
      model: "either",
      to: [
        { upstream: "cloud", model: "gpt-4.1" },
        { upstream: "local-model", model: "tiny" },
      ],
    },
  ]
  const addon = await startLocal(t, { first: models, others: [localModel], options: { upstreams: CLOUD, routes } })
  addon.answer({ status: 500, json: { error: { message: "down" } } })
  const list = await addon.request({ url: "/v1/models" })
  const ids = JSON.stringify(list.json())
  for (const id of ["tiny", "tiny.gguf", "gpt-4.1", "mine"]) t.match(ids, `"id":"${id}"`)
  for (const model of ["tiny", "mine", "local-model/tiny", "either"]) {
    const { completion, text } = await addon.request(ask(model))
    t.equal(completion?.text, "Hello.", `${model}: ${text}`)
    const stream = await addon.request(ask(model, { stream: true }))
    t.equal(stream.completion?.text, "Hello.", `${model}, as a stream`)
  }
  const local = await addon.request({ ...ask("tiny"), headers: { "x-llmproxy-route": "local" } })
  t.equal(local.completion?.text, "Hello.", "what has to stay here may be answered here")
  t.equal((await addon.request({ url: "/v1/embeddings", json: { model: "tiny", input: "x" } })).status, 404)
  t.same(addon.log.errors, [])
})

test("a failure of the embedded model goes on to the next upstream, before the first word", async (t) => {
  const routes = [
    {
      model: "either",
      to: [
        { upstream: "local-model", model: "bad" },
        { upstream: "cloud", model: "gpt-4.1" },
      ],
    },
  ]
  const addon = await startLocal(t, {
    models: { "bad.gguf": { broken: "no model" } },
    first: models,
    others: [localModel],
    options: { upstreams: CLOUD, routes },
  })
  addon.answer("From the cloud.")
  t.equal((await addon.request(ask("either", { stream: true }))).completion?.text, "From the cloud.")
})

test("models that come and go are told of", async (t) => {
  const { writeFileSync, rmSync } = await import("node:fs")
  const addon = await startLocal(t, { models: {}, first: models, others: [localModel] })
  await addon.log.line("there is no model")
  t.match((await addon.request(ask("new"))).status, 400)
  const file = `${t.testdirName}/models/new.gguf`
  writeFileSync(file, "{}")
  addon.clock.advance(5_000)
  await addon.log.line("models: new.gguf")
  t.equal((await addon.request(ask("new"))).completion?.text, "Hello.")
  rmSync(file)
  addon.clock.advance(5_000)
  await addon.log.line("there is no model")
})

test("alone it takes its own models at the proxy's own address, in OpenAI's words", async (t) => {
  const addon = await startLocal(t)
  const message = { model: "tiny", max_tokens: 9, messages: [{ role: "user", content: "Hi." }] }
  const anthropic = await addon.request({ url: "/v1/messages", json: message })
  t.match(
    [anthropic.status, anthropic.json()],
    [400, { type: "error", error: { message: /not as anthropic-messages/ } }],
  )
  await addon.request({ ...ask("tiny"), url: "https://api.openai.com/v1/chat/completions" })
  t.equal(addon.asked.length, 1, "what is sent to a host of its own goes there")
  const bad = await addon.request(ask("tiny", { n: 2 }))
  t.match([bad.status, bad.json()], [400, { error: { code: "invalid_value", param: "n" } }])
  t.equal((await addon.request({ url: "/v1/models/none" })).status, 200, "of another model the upstream is asked")
  const client = await addon.request({ ...ask("tiny"), url: "http://local-model.localhost/v1/chat/completions" })
  t.equal(client.completion?.text, "Hello.")
  t.equal(addon.asked.length, 3, "its place is for addons, not for clients")
})

test("what other addons send to its place is answered, or refused by its path, body and model", async (t) => {
  const answers: Answer[] = []
  const place = "http://local-model.localhost/v1"
  const asks = [
    ["POST", "/chat/completions", ask("tiny").json],
    ["POST", "/chat/completions", ask("other").json],
    ["POST", "/chat/completions", { model: "tiny" }],
    ["POST", "/embeddings", { model: "tiny" }],
    ["GET", "/models", undefined],
    ["GET", "/models/none", undefined],
    ["GET", "/models/%ff", undefined],
  ] as const
  const asker = defineAddon({
    name: "asker",
    setup: ({ send }) => ({
      async requestHeaders(flow) {
        if (!flow.request.path.startsWith("/ask")) return
        for (const [method, path, json] of asks)
          answers.push(await flow.waitFor(send({ method, ...(json && { json }) }, { url: place + path, until: "end" })))
        flow.respond({ text: "done" })
      },
    }),
  })
  const addon = await startLocal(t, { others: [asker] })
  await addon.request({ url: "/ask" })
  t.same(
    answers.map(({ status }) => status),
    [200, 404, 400, 404, 200, 404, 404],
  )
})
