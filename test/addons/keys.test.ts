/** `keys` in the real program: who comes in, with what, and what a key may. */
import { test } from "tap"
import { BELIEVED_MS } from "../../addons/keys/book.ts"
import { makeKey } from "../../addons/keys/secret.ts"
import { bearer, CHAT, chatBody, startKeys } from "./keys/rig.ts"

test("a request needs a key, however it is shown, and no key of ours reaches an upstream", async (t) => {
  const { addon, master, make, chat } = await startKeys(t)
  const key = await make({ label: "Ann's laptop", owner: "ann", team: "sales", tags: ["a"] })
  for (const headers of [
    {},
    bearer("wrong-key-of-somebody"),
    bearer(makeKey()),
    { "x-api-key": makeKey() },
    { Authorization: "" },
  ]) {
    const { status, error, headers: fields } = await addon.request({ url: CHAT, headers, json: chatBody() })
    t.equal(status, 401, JSON.stringify(Object.keys(headers)))
    t.equal(error?.message, "no valid API key was shown; send one as Authorization: Bearer KEY", "one text for all")
    t.equal(fields.get("www-authenticate"), 'Bearer realm="llmproxy"')
  }
  t.equal(addon.asked.length, 0)
  for (const headers of [
    bearer(key),
    { Authorization: key },
    { Authorization: `Basic ${Buffer.from(`any:${key}`).toString("base64")}` },
    { "x-api-key": key },
    { "x-goog-api-key": key },
    { "api-key": key },
    { ...bearer("sk-of-another-provider"), "x-api-key": key },
    { ...bearer(key), "x-api-key": key },
  ])
    t.equal(
      (await addon.request({ url: CHAT, headers, json: chatBody() })).status,
      200,
      JSON.stringify(Object.keys(headers)),
    )
  t.equal((await chat(master)).status, 200)
  const sent = addon.asked.map(({ headers }) => [...headers].join("\n")).join("\n")
  t.notMatch(sent, /llmproxy-/)
  t.match(sent, /sk-of-another-provider/, "what is not ours is not ours to take")
  const { client } = addon.flows[5] ?? {}
  t.match(client, {
    user: "ann",
    label: "Ann's laptop",
    claims: { owner: "ann", team: "sales", tags: ["a"], admin: false },
  })
  t.match(client?.claims?.key, /^k_[a-z2-7]{8}$/)
})

test("a key that is revoked, expired or renewed opens nothing a second later", async (t) => {
  const { make, chat, keyOf, book, clock } = await startKeys(t)
  const [one, two] = [await make(), await make({ expiresAt: clock.now() + 10_000 })]
  t.equal((await chat(one)).status, 200)
  t.equal((await chat(two)).status, 200)
  await book.revoke((await keyOf(one))?.id ?? "")
  clock.advance(BELIEVED_MS)
  t.equal((await chat(one)).status, 401)
  const other = makeKey()
  await book.rotate((await keyOf(two))?.id ?? "", other)
  clock.advance(BELIEVED_MS)
  t.same([(await chat(two)).status, (await chat(other)).status], [401, 200])
  clock.advance(10_000)
  t.equal((await chat(other)).status, 401, "it has expired")
})

test("what a key may not do is 403 with the reason, and the master may all", async (t) => {
  const { addon, make, master } = await startKeys(t)
  const key = await make({ scopes: { models: ["gpt-4o*", "text-*"], endpoints: ["/v1/chat/*", "/v1/embeddings"] } })
  const ask = (url: string, json: object, shown = key) =>
    addon.request({ url, headers: bearer(shown), json: json as ReturnType<typeof chatBody> })
  t.equal((await ask(CHAT, chatBody())).status, 200)
  const model = await ask(CHAT, chatBody({ model: "o3" }))
  t.same([model.status, model.error?.message], [403, "this key may not use the model o3"])
  const path = await ask("/v1/completions", { model: "gpt-4o", prompt: "x" })
  t.same([path.status, path.error?.message], [403, "this key may not ask /v1/completions"])
  t.equal((await ask("/v1/embeddings", { model: "text-embedding-3-small", input: "x" })).status, 200)
  t.equal((await ask("/v1/embeddings", { model: "other", input: "x" })).status, 403, "in no dialect, too")
  t.equal((await ask(CHAT, chatBody({ model: "o3" }), master)).status, 200)
  t.equal(addon.asked.length, 3)
})

test("a key's models are not evaded by a second name, another label or the query", async (t) => {
  const { addon, make } = await startKeys(t)
  const headers = bearer(await make({ scopes: { models: ["gpt-4o"] } }))
  const ask = (url: string, text: string, type = "application/json") =>
    addon.request({ url, text, headers: { ...headers, "Content-Type": type } })
  for (const twice of ['"Model": "o3"', '"MODEL": "o3"', '"mod\\u0065l": "gpt-4o"']) {
    for (const [url, rest] of [
      [CHAT, '"messages": [{ "role": "user", "content": "a \\\\" }]'],
      ["/v1/embeddings", '"input": "x"'],
    ] as const) {
      const { status, text } = await ask(url, `{ ${rest}, ${twice}, "model": "gpt-4o" }`)
      t.match([status, text], [400, /names its model more than once/], twice)
      t.equal((await ask(url, `{ ${rest}, "metadata": { ${twice} }, "model": "gpt-4o" }`)).status, 200)
    }
  }
  t.equal((await ask("/v1/embeddings", '{ "model": "other", "input": "x" }', "text/plain")).status, 403)
  t.equal((await ask("/v1/embeddings", '{ "model": "other" }', "application/x-www-form-urlencoded")).status, 403)
  t.equal((await ask("/v1/embeddings", "model=gpt-4o&model=other", "application/x-www-form-urlencoded")).status, 403)
  t.equal((await ask("/v1/realtime/calls?model=other", '{ "model": "gpt-4o" }')).status, 403)
  t.equal((await ask("/v1/audio/x", "bytes", "audio/wav")).status, 200)
  t.equal((await ask("/v1/images/x", "[]")).status, 200)
})

test("Local-LLM-API's calls: GET /auth, and POST and GET /auth/key for the master", async (t) => {
  const { addon, make, master, chat, keyOf } = await startKeys(t)
  const key = await make()
  const owners = new Set<string | undefined>()
  for (const end of ["", "/"]) {
    const auth = await addon.request({ url: `/auth${end}`, headers: { Authorization: key } })
    t.same([auth.status, auth.json()], [200, { auth: true }])
    const none = await addon.request({ url: `/auth${end}` })
    t.same([none.status, none.json()], [401, { message: "Unauthorized" }])
    for (const method of ["GET", "POST"]) {
      const made = await addon.request({ url: `/auth/key${end}`, method, headers: { Authorization: master } })
      t.equal(made.headers.get("cache-control"), "no-store")
      const { key: other } = made.json() as { key: string }
      t.match(other, /^llmproxy-[a-z2-7]{32}$/)
      t.equal((await chat(other)).status, 200)
      owners.add((await keyOf(other))?.owner)
      const refused = await addon.request({ url: `/auth/key${end}`, method, headers: { Authorization: key } })
      t.same([refused.status, refused.json()], [401, { message: "Unauthorized" }])
    }
  }
  t.equal(owners.size, 4, "each is somebody else's")
})

test("the last use of a key is noted once a minute", async (t) => {
  const { make, chat, book, clock, addon } = await startKeys(t)
  const key = await make()
  const used = async () => (await book.all())[0]?.last_used_at
  const first = clock.now()
  await chat(key)
  await addon.request({ url: "/auth", headers: bearer(key) })
  t.equal(Number(await used()), first)
  clock.advance(30_000)
  await chat(key)
  t.equal(Number(await used()), first)
  clock.advance(30_000)
  await chat(key)
  t.equal(Number(await used()), first + 60_000)
})

test("what is served is described to anybody: a browser has no key to show", async (t) => {
  const { addon } = await startKeys(t)
  const { status, text } = await addon.request({ url: "/docs/openapi.json" })
  t.equal(status, 200)
  t.strictSame(Object.keys(JSON.parse(text).paths), ["/auth", "/auth/key"])
  t.equal((await addon.request({ url: "/docs" })).status, 200)
})
