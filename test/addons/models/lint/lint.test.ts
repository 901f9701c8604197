/** Requests beside OpenAI's published schema: what is found is noted, and nothing is rejected. */
import { test } from "tap"
import { lint } from "../../../../addons/models/lint/lint.ts"
import { OPENAI_DATE, OPENAI_SCHEMA } from "../../../../addons/models/lint/openai-schema.ts"
import { schemaOf } from "../../../lint-schema/write.ts"
import { chat, others, startModels } from "../rig.ts"

test("the reduced schema is what the openai package says; npm run lint-schema writes it anew", (t) => {
  t.same(OPENAI_SCHEMA, schemaOf())
  t.match(OPENAI_DATE, /^\d{4}-\d\d-\d\d$/)
  t.end()
})

test("unknown fields, wrong types, values that are not taken, and what is missing", (t) => {
  const path = "/v1/chat/completions?x=1"
  const messages = [{ role: "user", content: "secret words" }]
  t.same(
    lint(OPENAI_SCHEMA, path, {
      model: "any-model-at-all",
      messages,
      temperature: 0.5,
      stop: ["a"],
      tool_choice: "auto",
    }),
    [],
  )
  const found = lint(OPENAI_SCHEMA, path, {
    messages: "secret words",
    temperature: "hot",
    top_k: 40,
    service_tier: "gold",
    constructor: 1,
  })
  t.same(
    found?.map(({ field, message }) => `${field} ${message.slice(0, 40)}`),
    [
      "messages must be array, and is string",
      "temperature must be null or number, and is string",
      "top_k is no field of this call",
      "service_tier must be one of auto, default, flex, prio",
      "constructor is no field of this call",
      "model is missing",
    ],
  )
  t.notMatch(JSON.stringify(found), /secret|hot|gold/, "values are not repeated")
  t.equal(lint(OPENAI_SCHEMA, "/v1/other", {}), undefined)
  t.same(
    lint(OPENAI_SCHEMA, "/v1/embeddings", { model: "m", input: null })?.map(({ field }) => field),
    ["input"],
  )
  const many = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`${"x".repeat(90)}${at}`, at]))
  const first = lint(OPENAI_SCHEMA, path, many)
  t.equal(first?.length, 20)
  t.ok(first?.every(({ field }) => field.length <= 60))
  t.end()
})

test("findings stand in the flow, and the request goes on as it is", async (t) => {
  const addon = await startModels(t, { lint: true })
  const odd = chat("gpt-4.1", { top_k: 40 })
  t.equal((await addon.request(odd)).status, 200)
  t.same(others(addon)[0]?.json(), odd.json)
  const noted = addon.flows.find(({ request }) => request.method === "POST")?.metadata["models.lint"]
  t.same(noted, { schema: OPENAI_DATE, findings: [{ field: "top_k", message: "is no field of this call" }] })
  await addon.request({ url: "/v1/embeddings", text: "{", headers: { "x-llmproxy-upstream": "openai" } })
  await addon.request({ url: "/v1/files/file-1", headers: { "x-llmproxy-upstream": "openai" } })
  await addon.set({ lint: false })
  await addon.request(odd)
  t.equal(addon.flows.filter(({ metadata }) => "models.lint" in metadata).length, 1)
  t.same(addon.log.errors, [])
})
