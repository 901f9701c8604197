/** What is told of the options: at the start, and of a reload that is wrong. */
import { test } from "tap"
import { checkRoutes, checkUpstreams } from "../../../addons/models/check.ts"
import models from "../../../addons/models.ts"
import { loadAddon } from "../../../lib/testing/load-addon.ts"
import { chat, ENV, hostOf, others, startModels, UPSTREAMS } from "./rig.ts"

test("every fault of an upstream is told with its place and what is right", (t) => {
  t.same(checkUpstreams(UPSTREAMS), [])
  t.same(
    checkUpstreams({ openai: {}, claude: { key: "env X" }, box: "http://127.0.0.1:1234" }),
    [],
    "the usual ones need no URL",
  )
  for (const [value, path, words] of [
    [[], [], /must name upstreams/],
    [{ "a b": {} }, ["a b"], /must be called by letters/],
    [{ a: 7 }, ["a"], /must be an object/],
    [{ a: "nonsense" }, ["a"], /must be an http or https URL/],
    [{ a: {} }, ["a", "url"], /must be a URL/],
    [{ a: { url: "ftp://x" } }, ["a", "url"], /http or https/],
    [{ a: { url: "http://u:p@x" } }, ["a", "url"], /must hold no password/],
    [{ a: { url: "http://x/v1?key=1" } }, ["a", "url"], /without a query/],
    [{ a: { url: "http://x", kye: "env X" } }, ["a"], /has no field "kye"; there are url, key/],
    [{ a: { url: "http://x", key: "" } }, ["a", "key"], /must name a variable/],
    [{ a: { url: "http://x", key: 7 } }, ["a", "key"], /must name a variable/],
    [{ a: { url: "http://x", dialect: "cohere" } }, ["a", "dialect"], /must be one of openai/],
    [{ a: { url: "http://x", dialect: [] } }, ["a", "dialect"], /must be one of/],
    [{ a: { url: "http://x", local: "yes" } }, ["a", "local"], /true or false/],
    [{ a: { url: "http://x", concurrency: 0 } }, ["a", "concurrency"], /at least 1/],
    [{ a: { url: "http://x", context: 1.5 } }, ["a", "context"], /whole number/],
    [{ a: { url: "http://x", models: [""] } }, ["a", "models"], /a list of model names/],
  ] as const) {
    const [problem] = checkUpstreams(value)
    t.same(problem?.path, path)
    t.match(problem?.message, words)
    t.notMatch(problem?.message, /u:p/)
  }
  t.end()
})

test("every fault of a route as well", (t) => {
  t.same(
    checkRoutes([
      { model: ["a", "b*"], to: "box", by: "order" },
      { model: "c", to: [{ upstream: "box", weight: 2 }] },
    ]),
    [],
  )
  const upstreams = { a: "http://a" }
  const named = (to: unknown) => checkRoutes([{ model: "m", to }], { upstreams }).map(({ path }) => path)
  t.same(
    [named(["a", "openai", "local-model"]), named("b"), named(["a", "b"]), named([{ upstream: "b" }])],
    [[], [[0, "to"]], [[0, "to", 1]], [[0, "to", 0, "upstream"]]],
  )
  for (const [value, path, words] of [
    [{}, [], /must be a list/],
    [[7], [0], /must be an object/],
    [[{ to: ["a"] }], [0, "model"], /must be a model/],
    [[{ model: "a" }], [0, "to"], /must name upstreams/],
    [[{ model: "a", to: [] }], [0, "to"], /must name upstreams/],
    [[{ model: "a", to: [7] }], [0, "to", 0], /the name of an upstream/],
    [[{ model: "a", to: { model: "x" } }], [0, "to", "upstream"], /the name of an upstream/],
    [
      [{ model: "a", to: [{ upstream: "x", model: "y*" }] }],
      [0, "to", 0, "model"],
      /the model's name at that upstream/,
    ],
    [[{ model: "a", to: [{ upstream: "x", weight: -1 }] }], [0, "to", 0, "weight"], /at least 0/],
    [[{ model: "a", to: ["x"], by: "chance" }], [0, "by"], /order or weight/],
    [[{ model: "a", to: ["x"], from: 1 }], [0], /has no field "from"/],
    [[{ model: "a", to: [{ upstream: "x", size: 1 }] }], [0, "to", 0], /has no field "size"/],
  ] as const) {
    const [problem] = checkRoutes(value)
    t.same(problem?.path, path)
    t.match(problem?.message, words)
  }
  t.end()
})

test("what leads to no upstream stops the start, and at a reload leaves all as it was", async (t) => {
  const routes = [{ model: "a", to: ["bxo"] }]
  const options = { upstreams: { box: "http://127.0.0.1:1" }, routes }
  await t.rejects(loadAddon(models, { options }), {
    message: /models\.routes\[0\]\.to\[0\] names "bxo", and no upstream is called so; there is box/,
  })
  await t.rejects(loadAddon(models, { options: { default: "x" } }), {
    message: /models\.default: no upstream is called "x"; there is none/,
  })
  await t.rejects(loadAddon(models, { options: { upstreams: { box: { url: "x" } } } }), {
    message: /models\.upstreams\.box\.url must be an http or https URL/,
  })
  const addon = await startModels(t)
  await t.rejects(addon.set({ routes }), { message: /names "bxo"/ })
  const keyless = { options: { routes: [{ model: "a", to: ["openai"] }] } }
  await t.rejects(loadAddon(models, keyless), {
    message: /models\.routes\[0\]\.to: no upstream is called "openai"; there is none/,
  })
  t.equal((await addon.request(chat("fast"))).status, 200, "the old routes are there")
})

test("a key alone enables its provider, and a placeholder nothing", async (t) => {
  const both = await startModels(t, { upstreams: {}, routes: [] })
  await both.request(chat("gpt-4.1"))
  t.same(others(both).map(hostOf), ["api.openai.com"])
  t.equal(others(both)[0]?.headers.get("authorization"), `Bearer ${ENV.OPENAI_API_KEY}`)
  t.match(both.log.lines.join("\n"), /upstreams: openai \(https:\/\/api\.openai\.com\/v1, with a key\), claude \(/)
  t.notMatch(both.log.lines.join("\n"), ENV.OPENAI_API_KEY)
  const none = await startModels(
    t,
    { upstreams: {}, routes: [] },
    { env: { OPENAI_API_KEY: "sk-dummy", ANTHROPIC_API_KEY: "" } },
  )
  t.match(none.log.lines.join("\n"), /there is no upstream: set OPENAI_API_KEY/)
  const refused = await none.request(chat("gpt-4.1"))
  t.match([refused.status, refused.error?.code], [400, "no_upstream"])
  t.same((await none.request({ url: "/v1/models" })).json(), { object: "list", data: [] })
})

test("a key in clear is warned of, an unset variable as well, and neither is shown", async (t) => {
  const key = "box-secret-0123456789abcdef"
  const upstreams = {
    box: { url: "http://127.0.0.1:1234/v1", key },
    far: { url: "http://far.example/v1", key: "env FAR_KEY" },
    openai: { url: "https://api.openai.com/v1" },
  }
  const addon = await startModels(t, { upstreams, routes: [] })
  const text = addon.log.lines.join("\n")
  t.match(text, /upstream "box": its key stands in the options in clear/)
  t.match(text, /upstream "far": FAR_KEY is not set, so that it is asked without a key/)
  t.notMatch(text, key)
  await addon.request(chat("box/x"))
  await addon.request(chat("far/x"))
  await addon.request(chat("openai/x"))
  t.same(
    others(addon).map(({ headers }) => headers.get("authorization")),
    [`Bearer ${key}`, undefined, `Bearer ${ENV.OPENAI_API_KEY}`],
    "and OpenAI's own host has its usual key",
  )
})

test("a changed key and a changed upstream count at once", async (t) => {
  const addon = await startModels(t, { upstreams: { box: "http://127.0.0.1:1234/v1" }, routes: [] }, { env: {} })
  await addon.request({ url: "/v1/models" })
  await addon.set({ upstreams: { box: "http://127.0.0.1:11434" } })
  t.match((await addon.request({ url: "/v1/models" })).text, /llama3\.2/)
})
