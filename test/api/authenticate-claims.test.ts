/** What is known of who asks beside a name, and what an addon asks for the client whose request it serves. */
import { test } from "tap"
import { type AddonContext, defineAddon } from "../../lib/api/addon.ts"
import type { Flow } from "../../lib/api/flow.ts"
import type { Hooks } from "../../lib/api/hooks.ts"
import type { JsonObject } from "../../lib/base/json.ts"
import { rig } from "./serve-rig.ts"

const CLAIMS = { key: "k_1", team: "sales", tags: ["a"] }

/** Names who shows a key, with claims. */
const keys = defineAddon({
  name: "keys",
  authenticate({ request, identify }) {
    if (request.headers.get("authorization") !== "Bearer key-of-ann") return
    request.headers.delete("authorization")
    identify("ann", "Ann", CLAIMS)
  },
})

const ANN = { authorization: "Bearer key-of-ann" }

test("claims are what the addon gave, on the flow, in its record, and where something is served", async (t) => {
  const seen: unknown[] = []
  const watching = defineAddon({
    name: "watching",
    requestHeaders: (flow) => void seen.push(flow.client.claims, flow.snapshot().client.claims),
  })
  const { protocols } = await rig(
    t,
    ({ serve }) =>
      serve({ method: "GET", path: "/who", access: "user" }, (_, { user, label, claims }) =>
        Response.json([user, label, claims]),
      ),
    { builtin: [keys, watching] },
  )
  for (const [name, ask] of protocols) {
    seen.splice(0)
    await ask({ path: "/v1/models", headers: ANN })
    t.same(seen, [CLAIMS, CLAIMS], name)
    t.equal(seen[0], CLAIMS, "the flow has what was given")
    t.not(seen[1], CLAIMS, "a record is a copy")
    seen.splice(0)
    await ask({ path: "/v1/models" })
    t.same(seen, [undefined, undefined], name)
    t.same(JSON.parse((await ask({ path: "/who", headers: ANN })).text), ["ann", "Ann", CLAIMS], name)
  }
})

test("claims that are no JSON object let nobody in", async (t) => {
  for (const claims of [[], "text", null, 1]) {
    // @ts-expect-error: an addon in JavaScript can write this
    const authenticate: Hooks["authenticate"] = ({ identify }) => identify("ann", "Ann", claims as JsonObject | string)
    const { protocols } = await rig(t, () => {}, { builtin: [defineAddon({ name: "odd", authenticate })] })
    for (const [, ask] of protocols) t.equal((await ask({ path: "/v1/models" })).status, 500)
  }
})

/** A page that asks `url` for whoever asks for it. */
function asking(url: string) {
  return ({ serve, send }: AddonContext) =>
    serve({ method: "GET", path: "/ask", access: "open" }, async (_, caller) => {
      const answer = await send({ json: {} }, { url, caller, until: "end" })
      return new Response(await answer.text(), { status: answer.status })
    })
}

test("what is sent for a caller is that client's flow, at our own address, and nobody is asked again who it is", async (t) => {
  const flows: Flow[] = []
  let asked = 0
  const everywhere = defineAddon({
    ...keys,
    asks: "everywhere",
    authenticate(info) {
      asked++
      return keys.authenticate?.(info)
    },
  })
  const watching = defineAddon({ name: "watching", response: (flow) => void flows.push(flow) })
  const { protocols, origin } = await rig(t, asking("/v1/embeddings?x=1"), { builtin: [everywhere, watching] })
  for (const [name, ask] of protocols) {
    asked = 0
    flows.splice(0)
    const answer = await ask({ path: "/ask", headers: ANN })
    t.same([answer.status, answer.text], [200, "the upstream"], name)
    t.same([asked, flows.length], [1, 1], name)
    const [flow] = flows
    t.match(flow?.client, { user: "ann", label: "Ann", claims: CLAIMS, address: "127.0.0.1", mayUseKeys: true }, name)
    t.match(flow?.client.id, /^key-/, name)
    t.same([flow?.baseUrl, flow?.parent], [true, undefined], name)
    t.equal(flow?.request.url, `http://127.0.0.1:${origin.port}/v1/embeddings?x=1`)
  }
})

test("a path is also asked by an addon itself, and a caller is a handler's context", async (t) => {
  const given: AddonContext[] = []
  const flows: Flow[] = []
  const watching = defineAddon({ name: "watching", response: (flow) => void flows.push(flow) })
  await rig(t, (context) => void given.push(context), { builtin: [watching] })
  const [context] = given
  if (context === undefined) throw new Error("the addon is set up by then")
  const ask = (options: object) => context.send({ method: "GET" }, { url: "/v1/models", until: "end", ...options })
  t.equal(await (await ask({})).text(), "the upstream")
  t.match(flows[0], { baseUrl: true, client: { id: "addon:panel", user: undefined, claims: undefined } })
  await t.rejects(ask({ url: "//127.0.0.1/v1/models" }), { name: "TypeError", message: /is no path/ })
  await t.rejects(ask({ caller: {} }), { name: "TypeError", message: /caller is no context of a handler/ })
  await t.rejects(ask({ caller: {}, parent: flows[0] }), {
    name: "TypeError",
    message: /a parent or a caller, not both/,
  })
})
