/** `serve` through the running program: what is answered, by whom, and what passes on. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Hono } from "hono"
import { test } from "tap"
import { eventually } from "../helpers/test-proxy.ts"
import { askHttp1, rig } from "./serve-rig.ts"
import { folderWith, started } from "./started.ts"

test("an app in web types answers below its path, over both protocols, and is no flow", async (t) => {
  const app = new Hono()
  app.get("/panel/hello/:name", (c) => c.json({ hello: c.req.param("name"), more: c.req.query("more") }))
  app.post("/panel/echo", async (c) =>
    c.text(await c.req.text(), 201, { "X-Type": c.req.header("content-type") ?? "" }),
  )
  const { protocols, origin, flows } = await rig(t, ({ serve }) =>
    serve({ method: "*", path: "/panel/*", access: "open" }, (request, context) => app.fetch(request, context)),
  )
  for (const [name, ask] of protocols) {
    const hello = await ask({ path: "/panel/hello/J%C3%BCrg?more=1" })
    t.same([hello.status, JSON.parse(hello.text)], [200, { hello: "Jürg", more: "1" }], name)
    const echoed = await ask({
      method: "POST",
      path: "/panel/echo",
      headers: { "content-type": "text/x" },
      body: "said",
    })
    t.same([echoed.status, echoed.text, echoed.field("x-type")], [201, "said", "text/x"], name)
    const head = await ask({ method: "HEAD", path: "/panel/hello/x" })
    t.same([head.status, head.text, head.field("content-type")], [200, "", "application/json"], name)
    t.equal((await ask({ path: "/panel/none" })).status, 404, name)
  }
  t.same([flows, origin.connections], [[], 0])
})

test("a served path is that path and method; the rest of it is 405, and below /v1/ the upstream's", async (t) => {
  const { protocols, flows, port } = await rig(t, ({ serve }) => {
    serve({ method: "GET", path: "/v1/models", access: "open" }, () => Response.json({ data: [] }))
    serve({ method: "PUT", path: "/panel", access: "open" }, () => new Response(null, { status: 204 }))
    serve(
      { method: "GET", path: "/panel", access: "open" },
      ({ url }) => new Response(url, { headers: { "content-length": `${url.length}` } }),
    )
  })
  for (const [name, ask] of protocols) {
    t.equal((await ask({ path: "/v1/models" })).text, '{"data":[]}', name)
    t.equal((await ask({ method: "PUT", path: "/panel" })).status, 204, name)
    const refused = await ask({ method: "POST", path: "/panel", body: "a secret" })
    t.same([refused.status, refused.field("allow")], [405, "PUT, GET, HEAD"], name)
    const url = `http://127.0.0.1:${port}/panel?x=1`
    t.equal((await ask({ path: "/panel?x=1" })).text, url, name)
    const head = await ask({ method: "HEAD", path: "/panel?x=1" })
    t.same([head.text, head.field("content-length")], ["", String(url.length)], name)
    for (const path of ["/v1/models/x", "/panel/", "/"])
      t.equal((await ask({ path })).text, "the upstream", name + path)
    t.equal((await ask({ method: "POST", path: "/v1/models", body: "{}" })).text, "the upstream", name)
  }
  t.equal(flows.length, 8)
})

/** A Response that is none of the platform's. */
function own(values: object): Response {
  return Object.assign(
    { status: 200, statusText: "", headers: new Headers(), body: null, bodyUsed: false },
    values,
  ) as Response
}

test("what a handler fails with is one line in the log, and nothing of it is told", async (t) => {
  const handlers: Readonly<Record<string, () => Response | Promise<Response>>> = {
    throws: () => {
      throw new Error("the reason")
    },
    rejects: () => Promise.reject(new Error("the reason")),
    // @ts-expect-error: an addon in JavaScript can return this
    text: () => "no response",
    error: () => Response.error(),
    used: async () => {
      const response = new Response("x")
      await response.text()
      return response
    },
    control: () => new Response("x", { headers: { "x-y": "\u0001" } }),
    // A library's own Response, which nobody has checked.
    reason: () => own({ statusText: "OK\r\nX-Evil: 1" }),
    word: () => own({ status: "200" }),
    huge: () => own({ status: 1_000 }),
    content: () => own({ body: "text" }),
  }
  const { protocols, lines } = await rig(t, ({ serve }) => {
    for (const [path, handler] of Object.entries(handlers))
      serve({ method: "GET", path: `/${path}`, access: "open" }, handler)
  })
  for (const [name, ask] of protocols) {
    for (const path of Object.keys(handlers)) {
      lines.splice(0)
      const { status, text } = await ask({ path: `/${path}` })
      t.same([status, text], [500, "llmproxy: what answers here has failed\n"], `${name} ${path}`)
      t.equal(lines.length, 1, `${name} ${path}`)
      t.match(lines[0], new RegExp(`^error addon "panel": serve GET /${path} failed: `))
    }
  }
})

const SLOW = `
export default {
  setup({ serve, log, signal }) {
    serve({ method: "GET", path: "/slow", access: "open" }, async () => {
      log.info("VERSION asked")
      await new Promise((resolve) => signal.addEventListener("abort", resolve))
      await new Promise((resolve) => setImmediate(resolve))
      log.info("VERSION answers")
      return new Response("VERSION")
    })
    return { done: () => log.info("VERSION is done") }
  },
}`

test("a request that runs is answered by the version that it began with, whose end waits for it", async (t) => {
  const folder = await folderWith(t, { "slow.ts": SLOW.replaceAll("VERSION", "old") })
  const { app, port, lines } = await started(t, folder, "slow.ts")
  const asked = askHttp1(port, { path: "/slow" })
  await eventually(() => lines.includes("info slow: old asked"))
  await writeFile(join(folder, "slow.ts"), SLOW.replaceAll("VERSION", "new"))
  await app.addons.reload()
  t.equal((await asked).text, "old")
  await eventually(() => lines.includes("info slow: old is done"))
  const order = lines.filter((line) => line.includes("old"))
  t.same(order.slice(-2), ["info slow: old answers", "info slow: old is done"])
})

const VERSION = `
import { defineAddon } from "llmproxy"
export default defineAddon({
  setup({ serve }) {
    serve({ method: "GET", path: "/NAME", access: "open" }, async () => new Response("NAME"))
    return {}
  },
})`

test("an addon's routes go with its version, and a reload that would claim another's path leaves all as it was", async (t) => {
  const named = (name: string) => VERSION.replaceAll("NAME", name)
  const folder = await folderWith(t, { "one.ts": named("first"), "other.ts": named("other") })
  const { app, port, lines } = await started(t, folder, "one.ts", "other.ts")
  const text = async (path: string) => (await askHttp1(port, { path, headers: { Host: "localhost" } })).text
  t.equal(await text("/first"), "first")
  await writeFile(join(folder, "one.ts"), named("second"))
  t.match(await app.addons.reload(), [{ outcome: "reloaded" }])
  t.equal(await text("/second"), "second")
  await writeFile(join(folder, "one.ts"), named("other"))
  t.match(await app.addons.reload(), [{ outcome: "failed" }])
  t.match(lines.join("\n"), 'addons "one" and "other" both serve /other')
  t.same([await text("/second"), await text("/other")], ["second", "other"])
})

test("a path that is claimed twice, or is ours, stops the start", async (t) => {
  const serves = (path: string, times = 1) =>
    `export default { setup({ serve }) { ${`serve({ method: "GET", path: "${path}", access: "open" }, () => new Response());`.repeat(times)} return {} } }`
  const folder = await folderWith(t, {
    "one.ts": serves("/a/*"),
    "other.ts": serves("/a/b"),
    "twice.ts": serves("/a", 2),
    "ours.ts": serves("/.llmproxy/x"),
    "late.ts": "export default { setup({ serve }) { return { load() { serve({ path: '/late' }) } } } }",
  })
  await t.rejects(started(t, folder, "one.ts", "other.ts"), {
    name: "UsageError",
    message: 'addons "one" and "other" both serve /a/* and /a/b; a path belongs to one addon, with all below its /*',
  })
  await t.rejects(started(t, folder, "twice.ts"), { message: /serve GET \/a: it is served already/ })
  await t.rejects(started(t, folder, "ours.ts"), { message: /paths below \/\.llmproxy\/ are llmproxy's own/ })
  await t.rejects(started(t, folder, "late.ts"), { message: /serve \/late: is to be declared in setup/ })
})

test("a 304 says how long the body is that it leaves out", async (t) => {
  const { protocols, lines } = await rig(t, ({ serve }) =>
    serve(
      { method: "GET", path: "/cached", access: "open" },
      () => new Response(null, { status: 304, headers: { "content-length": "100", etag: '"x"' } }),
    ),
  )
  for (const [name, ask] of protocols) {
    const { status, field, text } = await ask({ path: "/cached" })
    t.same([status, field("content-length"), field("etag"), text], [304, "100", '"x"', ""], name)
  }
  t.same(
    lines.filter((line) => line.includes("failed")),
    [],
  )
})
