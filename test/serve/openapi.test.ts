/** Endpoints that are described where they are written: what a client may send, and what `GET /docs` shows. */
import { test } from "tap"
import { type AddonContext, defineAddon, type JsonValue } from "../../lib/index.ts"
import { createRoute, makeApi, serveApi, z } from "../../lib/serve/openapi.ts"
import { loadAddon } from "../../lib/testing/index.ts"

const Vote = z
  .object({ who: z.string().min(1).describe("Whose vote"), weight: z.number().int().default(1) })
  .openapi("Vote")

const polls = defineAddon({
  name: "polls",
  setup({ serve }) {
    const api = makeApi()
    api.openapi(
      createRoute({
        method: "post",
        path: "/votes",
        tags: ["polls"],
        summary: "Vote <b>once</b>",
        request: { body: { required: true, content: { "application/json": { schema: Vote } } } },
        responses: { 200: { description: "Taken", content: { "application/json": { schema: Vote } } } },
      }),
      (c) => c.json({ ...c.req.valid("json"), asked: c.env.caller.address }, 200),
    )
    api.openapi(
      createRoute({
        method: "get",
        path: "/votes/{who}",
        summary: "One vote",
        description: "Of whoever is named.",
        request: {
          params: z.object({ who: z.string().describe("Who") }),
          query: z.object({ old: z.string().optional() }),
        },
        responses: { 200: { description: "It" }, 404: { description: "There is none" } },
      }),
      (c) => c.json({ who: c.req.valid("param").who }, 200),
    )
    serveApi(serve, api, (path) => (path === "/votes" ? "open" : "public"))
    return {}
  },
})

const json = (value: JsonValue) => ({ method: "POST", json: value }) as const

test("a request that fits its schema is answered, with and without a slash at the end", async (t) => {
  const addon = await loadAddon(polls)
  t.teardown(() => addon.close())
  for (const url of ["/votes", "/votes/"]) {
    const answer = await addon.request({ url, ...json({ who: "ann" }) })
    t.match([answer.status, JSON.parse(answer.text)], [200, { who: "ann", weight: 1, asked: "127.0.0.1" }], url)
  }
  const one = await addon.request({ url: "/votes/ann%20b?old=1" })
  t.strictSame([one.status, one.text], [200, '{"who":"ann b"}'])
  t.equal((await addon.request({ url: "/votes/ann?old=/" })).status, 200, "a slash in the query is none of the path")
  t.equal((await addon.request({ url: "/votes/a/b" })).status, 404, "below its parameter all is the addon's")
})

test("who may not ask is told so in the API's own form, and as text where that fails", async (t) => {
  const guarded = (name: string, refused: (status: number, message: string) => Response) =>
    defineAddon({
      name,
      setup({ serve }) {
        const api = makeApi()
        api.openapi(createRoute({ method: "get", path: `/${name}`, responses: { 200: { description: "It" } } }), (c) =>
          c.json({}, 200),
        )
        serveApi(serve, api, () => "user", refused)
        return {}
      },
    })
  const said = guarded("said", (status, message) => Response.json({ message, ours: true }, { status }))
  const failing = guarded("failing", () => {
    throw new Error("no words")
  })
  const addon = await loadAddon(said, { others: [failing] })
  t.teardown(() => addon.close())
  const answer = await addon.request({ url: "/said" })
  t.match([answer.status, answer.json()], [401, { message: /not known/, ours: true }])
  t.match(answer.headers.get("www-authenticate"), /^Bearer/)
  const other = await addon.request({ url: "/failing" })
  t.match([other.status, other.text], [401, /not known/])
})

test("one that does not is told all that is wrong with it, in one line", async (t) => {
  const addon = await loadAddon(polls)
  t.teardown(() => addon.close())
  const wrong = await addon.request({ url: "/votes", ...json({ who: "", weight: "x" }) })
  t.equal(wrong.status, 400)
  t.match(JSON.parse(wrong.text), {
    error: { type: "invalid_request_error", code: "invalid_request", message: /^who: .*; weight: .*expected number/ },
  })
  t.match(JSON.parse((await addon.request({ url: "/votes", ...json([]) })).text), {
    error: { message: /^Invalid input: expected object/ },
  })
  const many = z.object(Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`f${i}`, z.string()])))
  const api = makeApi((message) => new Response(message, { status: 422 }))
  const body = { content: { "application/json": { schema: many } } }
  api.openapi(
    createRoute({ method: "post", path: "/m", request: { body }, responses: { 200: { description: "" } } }),
    (c) => c.text(""),
  )
  const other = defineAddon({
    name: "many",
    setup({ serve }) {
      serveApi(serve, api, () => "open")
      return {}
    },
  })
  const second = await loadAddon(other)
  t.teardown(() => second.close())
  const answer = await second.request({ url: "/m", ...json({}) })
  t.equal(answer.status, 422)
  t.match(answer.text, /^f0: .*; f4: .*; and 2 more$/)
})

test("what is described is shown, for programs and for people, and nothing else of it", async (t) => {
  const plain = defineAddon({
    name: "plain",
    setup({ serve }) {
      serve({ method: "GET", path: "/plain", access: "open" }, () => new Response("plain"))
      return {}
    },
  })
  const addon = await loadAddon(polls, { others: [plain] })
  t.teardown(() => addon.close())
  const document = JSON.parse((await addon.request({ url: "/docs/openapi.json" })).text)
  t.match(document, { openapi: "3.1.0", components: { schemas: { Vote: { type: "object" } }, securitySchemes: {} } })
  t.strictSame(Object.keys(document.paths), ["/votes", "/votes/{who}"])
  for (const url of ["/docs", "/docs/"]) {
    const page = await addon.request({ url })
    t.equal(page.headers.get("content-type"), "text/html; charset=utf-8")
    t.match(page.headers.get("content-security-policy"), /^default-src 'none'; style-src 'sha256-/)
    t.match(page.text, "Vote &#60;b&#62;once&#60;/b&#62;")
    t.match(page.text, /Whose vote/, "what is referred to stands in its place")
    t.match(page.text, /<code>old<\/code> <span class="dim">\(query, may be left out\)<\/span>/)
    t.notMatch(page.text, /https?:|<script/, "nothing comes from elsewhere")
  }
})

test("without a description there are no docs, and an addon may have its own", async (t) => {
  const own = defineAddon({
    name: "own",
    setup({ serve }) {
      serve({ method: "GET", path: "/docs", access: "open" }, () => new Response("own"))
      return {}
    },
  })
  const addon = await loadAddon(own, { others: [polls] })
  t.teardown(() => addon.close())
  t.equal((await addon.request({ url: "/docs" })).text, "own")
  const none = await loadAddon(defineAddon({ name: "none", setup: () => ({}) }))
  t.teardown(() => none.close())
  none.answer({ status: 418, text: "upstream" })
  t.equal((await none.request({ url: "/docs" })).status, 418, "it passes on")
})

test("what addons answer in their hooks is described beside what is served, and nothing is served by it", async (t) => {
  let given: AddonContext | undefined
  const answering = (name: string) =>
    defineAddon({
      name,
      setup(context) {
        given = context
        context.describe(() => ({ paths: { [`/${name}`]: { get: { summary: `All of ${name}`, responses: {} } } } }))
        return {
          requestHeaders: (flow) => (flow.request.path === `/${name}` ? flow.respond({ text: name }) : undefined),
        }
      },
    })
  const addon = await loadAddon(answering("one"), { others: [answering("two"), polls] })
  t.teardown(() => addon.close())
  const document = JSON.parse((await addon.request({ url: "/docs/openapi.json" })).text)
  t.strictSame(Object.keys(document.paths), ["/one", "/two", "/votes", "/votes/{who}"])
  t.match((await addon.request({ url: "/docs" })).text, /All of one[\s\S]*All of two/)
  for (const name of ["one", "two"]) t.equal((await addon.request({ url: `/${name}` })).text, name)
  t.throws(() => given?.describe(() => ({ paths: {} })), /is to be called in setup/)
  const wrong = defineAddon({
    name: "wrong",
    setup({ describe }) {
      // @ts-expect-error: an addon in JavaScript can give this
      describe({ paths: {} })
      return {}
    },
  })
  await t.rejects(loadAddon(wrong), /takes a function/)
})
