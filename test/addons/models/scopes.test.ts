/** What a key may do: its models, its upstreams, and what takes the scope admin. */
import { test } from "tap"
import type { AuthenticateHookInfo } from "../../../lib/api/hooks.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import { as, chat, hostOf, others, startModels } from "./rig.ts"

const CLAIMS: Readonly<Record<string, JsonObject>> = {
  ann: { owner: "ann", admin: false, scopes: { models: ["gpt-*", "fast", "box/*"], upstreams: ["openai"] } },
  bob: { owner: "bob", admin: false },
  cid: { owner: "cid", admin: false, scopes: { models: ["o*", "b*"] } },
  root: { owner: "root", admin: true, scopes: { models: [] } },
}
const KEYS = {
  name: "keys",
  authenticate({ request, identify }: AuthenticateHookInfo) {
    const user = /^Bearer (\w+)$/.exec(request.headers.get("authorization") ?? "")?.[1] ?? ""
    if (CLAIMS[user] !== undefined) identify(user, user, CLAIMS[user])
  },
}

test("the list shows what the key may use, and nothing else can be asked", async (t) => {
  const addon = await startModels(t, {}, { others: [KEYS] })
  const list = await addon.request({ url: "/v1/models", ...as("ann") })
  t.match(list.json(), { data: [{ id: "gpt-4.1" }, { id: "gpt-4.1-mini" }] })
  t.notMatch(list.text, /qwen|claude|shared|fast/)
  t.same(addon.asked.map(hostOf), ["api.openai.com"], "an upstream that she may not use is not asked")
  for (const [request, code, words] of [
    [chat("claude-sonnet-4-5"), "model_not_allowed", /may not use the model "claude-sonnet-4-5"/],
    [chat("fast"), "upstream_not_allowed", /may not use box/],
    [chat("box/shared"), "upstream_not_allowed", /may not use box/],
    [{ ...chat("gpt-4.1"), headers: { "x-llmproxy-upstream": "box" } }, "upstream_not_allowed", /may not use box/],
  ] as const) {
    const headers = { ...("headers" in request ? request.headers : {}), ...as("ann").headers }
    const { status, error } = await addon.request({ ...request, headers })
    t.match([status, error?.code], [403, code])
    t.match(error?.message, words)
  }
  t.equal((await addon.request({ ...chat("gpt-4.1"), ...as("ann") })).status, 200)
  t.equal(
    (await addon.request({ ...chat("claude/x"), ...as("root") })).status,
    400,
    "only the dialect is wrong for the admin",
  )
  t.same(others(addon).map(hostOf), ["api.openai.com"])
})

test("a glob for models' names is none for the name of an upstream before them", async (t) => {
  const addon = await startModels(t, {}, { others: [KEYS] })
  for (const model of ["openai/gpt-4.1", "box/shared"]) {
    const { status, error } = await addon.request({ ...chat(model), ...as("cid") })
    t.same([status, error?.code], [403, "model_not_allowed"], model)
    t.equal((await addon.request({ url: `/v1/models/${model}`, ...as("cid") })).status, 404)
  }
  t.equal((await addon.request({ ...chat("openai/o3"), ...as("cid") })).status, 200)
})

test("what belongs to the whole account, and deletions, take the scope admin", async (t) => {
  const addon = await startModels(t, { default: "openai" }, { others: [KEYS] })
  const requests = [
    ...["/v1/files", "/v1/files?limit=5", "/v1/batches", "/v1/fine_tuning/jobs", "/v1/vector_stores/"].map((url) => ({
      url,
    })),
    ...["/v1/organization/users", "/v1/messages/batches"].map((url) => ({ url })),
    { url: "/v1/files/file-1", method: "DELETE" },
    { url: "/v1/models/gpt-4.1", method: "DELETE" },
  ]
  for (const request of requests) {
    const refused = await addon.request({ ...request, ...as("bob") })
    t.equal(refused.status, 403, request.url)
    t.match(refused.text, /scope admin/)
    t.equal((await addon.request({ ...request, ...as("root") })).status, 200, request.url)
  }
  t.equal(others(addon).length, requests.length)
})

test("an object that is read by the admin stays its owner's", async (t) => {
  const say = () => ({ json: { id: "batch_9", output_file_id: "file-9" } })
  const addon = await startModels(t, { default: "openai" }, { others: [KEYS], say })
  t.equal((await addon.request({ url: "/v1/batches", json: {}, ...as("bob") })).status, 200)
  t.equal((await addon.request({ url: "/v1/batches/batch_9", ...as("root") })).status, 200)
  t.equal((await addon.request({ url: "/v1/files/file-9/content", ...as("bob") })).status, 200)
  t.equal((await addon.request({ url: "/v1/files/file-9/content", ...as("ann") })).status, 404)
})

test("what changes an Ollama takes the admin, without keys a program of this machine, and an Ollama", async (t) => {
  const pull = { url: "/api/pull", json: { model: "llama3.2" } }
  const addon = await startModels(t, {}, { others: [KEYS] })
  const refused = await addon.request({ ...pull, ...as("bob") })
  t.match([refused.status, refused.json()], [403, { error: /scope admin/ }])
  t.equal((await addon.request({ ...pull, ...as("root") })).status, 200)
  t.equal((await addon.request(pull)).status, 200, "nobody has named it, and it is on this machine")
  t.same(
    others(addon).map(({ url }) => url),
    ["http://127.0.0.1:11434/api/pull", "http://127.0.0.1:11434/api/pull"],
  )
  await addon.set({ upstreams: { box: "http://127.0.0.1:1234/v1" }, routes: [] })
  const none = await addon.request(pull)
  t.match([none.status, none.json()], [501, { error: /no upstream speaks Ollama/ }])
})

test("the server's key is not for a client of another machine that has shown none", async (t) => {
  const addon = await startModels(
    t,
    {},
    { program: { host: "0.0.0.0" }, others: [{ name: "asker", asks: "everywhere", authenticate() {} }] },
  )
  const cloud = await addon.request(chat("openai/gpt-4.1"))
  t.match([cloud.status, cloud.error?.code], [403, "key_not_for_all"])
  t.equal((await addon.request(chat("fast"))).status, 200, "a host without a key is for all")
  const list = await addon.request({ url: "/v1/models" })
  t.notMatch(list.text, /gpt-4\.1/)
  t.match(list.text, /qwen3-4b/)
  t.notOk(addon.asked.some((asked) => hostOf(asked) === "api.openai.com"))
})
