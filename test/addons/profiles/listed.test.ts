/** Profiles by the names that clients ask for them by, in the list of all models. */
import { test } from "tap"
import models from "../../../addons/models.ts"
import profiles from "../../../addons/profiles.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import { loadAddon, type TestAddon } from "../../../lib/testing/index.ts"
import { bearer, startKeys } from "../keys/rig.ts"

const UPSTREAMS = {
  box: { url: "http://127.0.0.1:1234/v1", models: ["qwen3-4b"], context: 4096 },
  openai: { url: "https://api.openai.com/v1", models: ["gpt-4o"] },
}
const ROUTES = [
  { model: "fast", to: [{ upstream: "box", model: "qwen3-4b" }] },
  { model: "gpt-*", to: ["openai"] },
]
const LIST: JsonObject = {
  brief: { temperature: 0.2 },
  coder: { model: "qwen3-4b" },
  quick: { model: "fast" },
  new: { model: "gpt-9" },
  lost: { model: "nobody-has-it" },
}
const PROGRAM = { models: { upstreams: UPSTREAMS, routes: ROUTES } }

async function idsOf(addon: TestAddon, headers: Record<string, string> = {}): Promise<string[]> {
  const { data } = (await addon.request({ url: "/v1/models", headers })).json() as { data: { id: string }[] }
  return data.map(({ id }) => id)
}

for (const order of ["profiles first", "models first"])
  test(`each that leads to a model is listed, and may be asked for: ${order}`, async (t) => {
    const [first, other] = order === "profiles first" ? [profiles, models] : [models, profiles]
    const options: JsonObject = order === "profiles first" ? { list: LIST } : PROGRAM.models
    const program = { ...PROGRAM, profiles: { list: LIST } }
    const addon = await loadAddon(first, { options, others: [other], program })
    t.teardown(() => addon.close())
    const own = ["qwen3-4b", "gpt-4o", "fast"]
    t.same(await idsOf(addon), [...own, "profile:coder", "profile:quick", "profile:new"])
    const one = await addon.request({ url: "/v1/models/profile:coder" })
    t.match(one.json(), { id: "profile:coder", object: "model", context_length: 4096, owned_by: "box" })
    const version = { "anthropic-version": "2023-06-01" }
    t.match((await addon.request({ url: "/v1/models", headers: version })).text, /"id":"profile:coder"/)
    t.match((await addon.request({ url: "/api/tags" })).text, /"name":"profile:coder"/)
    const local = await idsOf(addon, { "x-llmproxy-route": "local" })
    t.same(local, ["qwen3-4b", "fast", "profile:coder", "profile:quick"], "what stays on this machine")
    if (order !== "profiles first") return
    for (const id of ["profile:coder", "profile:quick", "profile:new"]) {
      const json = { model: id, messages: [{ role: "user", content: "Hi." }] }
      t.equal((await addon.request({ url: "/v1/chat/completions", json })).status, 200, id)
    }
    const chosen = await addon.request({
      url: "/models/model",
      json: { model: "profile:coder", model_config: "brief" },
    })
    t.match(chosen.json(), { model_status: /no model is called "profile:coder"; there are qwen3-4b, gpt-4o, fast/ })
    await addon.set({ list: { poet: { model: "gpt-4o" } } })
    t.same(await idsOf(addon), [...own, "profile:poet"], "as they are now")
  })

test("a key lists those that it may ask for by both names, and its money is reserved by the model's price", async (t) => {
  const more = { others: [profiles, models], program: { ...PROGRAM, profiles: { list: LIST } } }
  const { addon, make, chat } = await startKeys(t, {}, more)
  const listed = async (key: string) => (await idsOf(addon, bearer(key))).filter((id) => id.startsWith("profile:"))
  t.same(await listed(await make()), ["profile:coder", "profile:quick", "profile:new"])
  const scoped = await make({ scopes: { models: ["profile:*", "qwen*"] } })
  t.same(await listed(scoped), ["profile:coder"])
  t.same(await listed(await make({ scopes: { models: ["qwen*"] } })), [])
  t.equal((await chat(scoped, { model: "profile:coder" })).status, 200)
  t.equal((await chat(scoped, { model: "profile:new" })).status, 403)
  const list = { poet: { model: "gpt-4o" } }
  const paying = await startKeys(t, {}, { ...more, program: { ...PROGRAM, profiles: { list } } })
  const key = await paying.make({ limits: { money: { day: 1_000_000 } } })
  t.equal((await paying.chat(key, { model: "profile:poet", max_tokens: 10 })).status, 200)
})
