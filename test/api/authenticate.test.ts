/** Who asks, through the running program: an addon names or refuses a client, for flows and for what is served. */
import { test } from "tap"
import { type AddonDefinition, defineAddon } from "../../lib/api/addon.ts"
import type { Hooks } from "../../lib/api/hooks.ts"
import { call, openSession } from "../helpers/clients/h2-client.ts"
import { askHttp1, rig } from "./serve-rig.ts"
import { folderWith, startedWith } from "./started.ts"

const KEYS = new Map([["Bearer key-of-ann", "ann"]])

/** Names who has a key and takes it away; refuses who shows a wrong one. */
const keys = defineAddon({
  name: "keys",
  authenticate({ request, identify, refuse }) {
    const shown = request.headers.get("authorization")
    if (shown === undefined) return
    const user = KEYS.get(shown)
    if (user === undefined) return refuse(401, "this key is not known")
    request.headers.delete("authorization")
    identify(user, `${user} of sales`)
  },
})

/** What hooks see of their clients, in order. */
function watching(seen: unknown[], more: Partial<Hooks> = {}): AddonDefinition {
  return defineAddon({
    name: "watching",
    requestHeaders: (flow) =>
      void seen.push([flow.client.user, flow.client.label, flow.request.headers.get("authorization")]),
    ...more,
  })
}

test("a client is named before any other hook of its request, or refused in its dialect", async (t) => {
  const seen: unknown[] = []
  const snapshots: unknown[] = []
  const second: string[] = []
  const other = defineAddon({ name: "other", authenticate: ({ request }) => void second.push(request.path) })
  const response: Hooks["response"] = (flow) => void snapshots.push(flow.snapshot().client)
  const { protocols, origin } = await rig(t, () => {}, { builtin: [keys, other, watching(seen, { response })] })
  for (const [name, ask] of protocols) {
    seen.splice(0)
    snapshots.splice(0)
    second.splice(0)
    const named = await ask({ path: "/v1/models", headers: { authorization: "Bearer key-of-ann" } })
    t.equal(named.text, "the upstream", name)
    t.same(seen, [["ann", "ann of sales", undefined]], `${name}: its key stays here`)
    t.match(snapshots, [{ user: "ann", label: "ann of sales", id: /^key-/ }], name)
    t.same(second, [], `${name}: nobody else is asked`)
    const refused = await ask({
      method: "POST",
      path: "/v1/chat/completions",
      headers: { authorization: "Bearer x" },
      body: "{}",
    })
    t.same([refused.status, refused.field("www-authenticate")], [401, 'Bearer realm="llmproxy"'], name)
    t.match(JSON.parse(refused.text), { error: { message: "this key is not known" } }, name)
    t.equal(seen.length, 1, `${name}: no other hook of the request is asked`)
    t.equal((await ask({ path: "/v1/models" })).text, "the upstream")
    t.same([seen[1], second], [[undefined, undefined, undefined], ["/v1/models"]], `${name}: nobody has named this one`)
  }
  t.notMatch(origin.requests.map(({ head }) => head).join("\n"), "key-of-ann")
})

test("what an addon sends is its client's, and is not asked about", async (t) => {
  const seen: unknown[] = []
  let asked = 0
  const counting = defineAddon({ name: "counting", authenticate: () => void asked++ })
  const sends = defineAddon({
    name: "sends",
    async request(flow) {
      if (flow.parent !== undefined) return
      const answer = await flow.send(
        { method: "GET" },
        { url: "http://127.0.0.1:1/x".replace(":1/", `:${port()}/`), until: "end" },
      )
      flow.respond({ text: `${answer.flow.client.user}` })
    },
  })
  const { protocols, origin } = await rig(t, () => {}, { builtin: [counting, keys, sends, watching(seen)] })
  const port = () => origin.port
  for (const [name, ask] of protocols) {
    seen.splice(0)
    asked = 0
    t.equal((await ask({ path: "/", headers: { authorization: "Bearer key-of-ann" } })).text, "ann", name)
    t.same([asked, seen.length], [1, 2], name)
  }
})

test("a served request of the access user is asked about as well; open and admin are not", async (t) => {
  const { protocols, lines } = await rig(
    t,
    ({ serve }) => {
      for (const access of ["open", "user", "admin"] as const)
        serve({ method: "GET", path: `/${access}`, access }, (request, { user }) =>
          Response.json([user ?? null, request.headers.get("authorization")]),
        )
    },
    { builtin: [keys] },
  )
  for (const [name, ask] of protocols) {
    const named = await ask({ path: "/user", headers: { authorization: "Bearer key-of-ann" } })
    t.same(JSON.parse(named.text), ["ann", null], name)
    const refused = await ask({ path: "/user", headers: { authorization: "Bearer x" } })
    t.same([refused.status, refused.text], [401, "llmproxy: this key is not known\n"], name)
    t.equal(refused.field("www-authenticate"), 'Bearer realm="llmproxy"', name)
    t.equal((await ask({ path: "/user" })).status, 401, name)
    t.same(JSON.parse((await ask({ path: "/open", headers: { authorization: "Bearer x" } })).text), [null, "Bearer x"])
    t.same(JSON.parse((await ask({ path: "/admin" })).text), [null, null])
  }
  t.same(lines, [])
})

test("a hook that fails or says nonsense lets nobody in, and tells nothing of why", async (t) => {
  const failures: Record<string, Hooks["authenticate"]> = {
    throws: () => {
      throw new Error("the reason")
    },
    rejects: () => Promise.reject(new Error("the reason")),
    twice: ({ identify }) => {
      identify("ann")
      identify("bob")
    },
    empty: ({ identify }) => identify(""),
    long: ({ identify }) => identify("x".repeat(257)),
    status: ({ refuse }) => refuse(200, "fine"),
    // @ts-expect-error: an addon in JavaScript can write this
    noReason: ({ refuse }) => refuse(401),
    // @ts-expect-error: an addon in JavaScript can write this
    object: ({ refuse }) => refuse(401, { code: "x" }),
    noText: ({ refuse }) => refuse(401, ""),
  }
  for (const [how, authenticate] of Object.entries(failures)) {
    const builtin = [defineAddon({ name: "failing", onError: "continue", authenticate })]
    const served = ({ serve }: Parameters<Parameters<typeof rig>[1]>[0]) =>
      serve({ method: "GET", path: "/user", access: "user" }, () => new Response("served"))
    const { protocols, lines, origin } = await rig(t, served, { builtin })
    for (const [name, ask] of protocols) {
      for (const path of ["/v1/models", "/user"]) {
        const { status, text } = await ask({ path })
        t.equal(status, 500, `${how}, ${name} ${path}`)
        t.match(text, 'addon "failing" failed to tell who asks')
        t.notMatch(text, "the reason")
      }
    }
    t.equal(lines.filter((line) => line.includes("authenticate failed: ")).length, 4, how)
    t.equal(origin.connections, 0, how)
  }
})

test("an id is told from the request as it came, and is the same after a restart", async (t) => {
  const ids: string[] = []
  const seeing = defineAddon({
    name: "seeing",
    authenticate: ({ client, request }) => {
      request.headers.set("authorization", "Bearer another")
      ids.push(client.id)
    },
    requestHeaders(flow) {
      ids.push(flow.client.id)
      flow.respond({ text: "seen" })
    },
  })
  const folder = await folderWith(t, {})
  for (let start = 0; start < 2; start++) {
    const { app, port } = await startedWith(t, folder, { builtin: [seeing] })
    await askHttp1(port, { path: "/", headers: { Authorization: "Bearer mine" } })
    const session = await openSession(t, `http://127.0.0.1:${port}`)
    await call(session, { ":path": "/", authorization: "Bearer mine" })
    await app.stop()
  }
  t.match(ids[0], /^key-[0-9a-f]{16}$/)
  t.equal(ids.length, 8)
  t.equal(new Set(ids).size, 1)
})

test("who is named or refused once the hook has ended is neither, and the addon is told", async (t) => {
  const late: unknown[] = []
  const users: unknown[] = []
  let later = () => {}
  const builtin = [
    defineAddon({
      name: "forgetful",
      authenticate({ identify, refuse }) {
        later = () => {
          for (const call of [() => identify("ann"), () => refuse(401, "not known")])
            try {
              call()
            } catch (thrown) {
              late.push(String(thrown))
            }
        }
      },
      requestHeaders: () => later(),
      response: (flow) => void users.push(flow.client.user),
    }),
  ]
  const { protocols } = await rig(t, () => {}, { builtin })
  for (const [, ask] of protocols) t.equal((await ask({ path: "/v1/models" })).text, "the upstream")
  t.same(users, [undefined, undefined])
  t.equal(late.length, 4)
  for (const text of late) t.match(text, /comes too late: await what it needs within authenticate/)
})
