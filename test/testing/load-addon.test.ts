/** An addon in the real program, as the tests of an addon have it. */
import assert from "node:assert/strict"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { type Test, test } from "tap"
import { type AddonDefinition, defineAddon } from "../../lib/api/addon.ts"
import type { JsonObject } from "../../lib/base/json.ts"
import { type LoadAddonOptions, loadAddon } from "../../lib/testing/load-addon.ts"

const HELLO: JsonObject = { model: "m", messages: [{ role: "user", content: "Hello?" }] }
const LIMITED = "test/fixtures/testing/limited.ts"

async function loaded(t: Test, addon: Parameters<typeof loadAddon>[0], options: LoadAddonOptions = {}) {
  const made = await loadAddon(addon, options)
  t.teardown(() => made.close())
  return made
}

test("a file is loaded with its options, asked as a client asks, and keeps what it keeps", async (t) => {
  const addon = await loaded(t, LIMITED, { options: { requests: 1 } })
  assert.equal(addon.name, "limit")
  const first = await addon.chat("Hello?")
  assert.deepEqual([first.status, first.completion?.text, first.error], [200, "Hello.", undefined])
  const second = await addon.chat("Hello?")
  assert.deepEqual([second.status, second.error?.code, second.completion], [429, "rate_limit_exceeded", undefined])
  assert.deepEqual(
    addon.log.lines.filter((line) => line.startsWith("info limit")),
    ["info limit: refused request 2"],
  )
  assert.equal(addon.asked.length, 1)
  const [key = ""] = (await addon.records("asked").entries()).map(([name]) => name)
  assert.equal(await addon.records("asked").get(key), 2)
  addon.clock.advance(60_000)
  assert.equal((await addon.chat("Hello?")).status, 200, "the minute is over by the clock of the test")
})

test("what is kept before it is set up, and in a folder of the test's, is what it finds", async (t) => {
  const confdir = join(t.testdir(), "conf")
  const url = pathToFileURL(LIMITED)
  const options = { options: { requests: 3 }, confdir }
  const first = await loadAddon(url, { ...options, prepare: ({ records }) => records("asked").set("127.0.0.1", 2) })
  assert.equal((await first.chat("Hello?")).status, 200)
  await first.close()
  const second = await loaded(t, url, options)
  assert.equal((await second.chat("Hello?")).status, 429)
})

test("every hook is fired by what a client and an upstream do", async () => {
  const fired: string[] = []
  const hook =
    (name: string) =>
    (..._args: unknown[]): void => {
      if (fired.at(-1) !== name) fired.push(name)
    }
  const addon = await loadAddon({
    name: "all",
    load: hook("load"),
    configure: hook("configure"),
    running: hook("running"),
    clientConnected: hook("clientConnected"),
    httpConnect: hook("httpConnect"),
    tlsClientHello: hook("tlsClientHello"),
    authenticate: hook("authenticate"),
    requestHeaders: hook("requestHeaders"),
    request: hook("request"),
    llmRequest: hook("llmRequest"),
    serverConnect: hook("serverConnect"),
    serverConnected: hook("serverConnected"),
    informational: hook("informational"),
    responseHeaders: hook("responseHeaders"),
    llmDelta: hook("llmDelta"),
    llmResponse: hook("llmResponse"),
    llmError: hook("llmError"),
    websocketStart: hook("websocketStart"),
    websocketMessage: hook("websocketMessage"),
    websocketEnd: hook("websocketEnd"),
    response: hook("response"),
    error: hook("error"),
    serverDisconnected: hook("serverDisconnected"),
    clientDisconnected: hook("clientDisconnected"),
    done: hook("done"),
  })
  const head = ["clientConnected", "httpConnect", "tlsClientHello", "authenticate", "requestHeaders", "request"]
  const dial = ["serverConnect", "serverConnected"]
  assert.deepEqual(fired.splice(0), ["load", "configure", "running"])

  addon.answer({ deltas: ["He", "llo"], interim: [{ status: 103, headers: { Link: "</a>" } }] })
  const streamed = await addon.chat("Hi", { stream: true })
  assert.deepEqual(fired.splice(0), [
    ...[...head, "llmRequest", ...dial],
    ...["informational", "responseHeaders", "llmDelta", "llmResponse", "response", "clientDisconnected"],
  ])
  assert.deepEqual(
    streamed.deltas.map((delta) => (delta.type === "text" ? delta.text : delta.type)),
    ["He", "llo", "finish"],
  )
  assert.deepEqual([streamed.interim[0]?.status, streamed.interim[0]?.headers.get("link")], [103, "</a>"])

  addon.answer({ status: 429, error: { code: "slow_down", message: "too fast" } })
  const failed = await addon.chat("Hi")
  assert.equal(failed.error?.message, "too fast")
  assert.ok(fired.splice(0).includes("llmError"))

  addon.answer({ deltas: ["Hel"], cut: true })
  const cut = await addon.chat("Hi", { stream: true })
  assert.ok(cut.broken !== undefined && cut.completion?.finishReason.unified === "cut")
  const broken = fired.splice(0)
  assert.deepEqual([broken.includes("error"), broken.includes("serverDisconnected")], [true, true])

  addon.serveWebSocket(async (socket) => {
    for (let message = await socket.next(); message !== undefined; message = await socket.next())
      socket.send(`${message}!`)
  })
  const socket = await addon.websocket("wss://chat.example/room")
  socket.send("hey")
  assert.equal(await socket.next(), "hey!")
  assert.equal((await socket.close()).code, 1000)
  const talked = fired.splice(0)
  assert.deepEqual(
    ["websocketStart", "websocketMessage", "websocketEnd"].filter((name) => !talked.includes(name)),
    [],
  )
  await addon.close()
  assert.equal(fired.at(-1), "done")
  await addon[Symbol.asyncDispose]()
  assert.equal(fired.filter((name) => name === "done").length, 1)
})

test("what a model says is written in the dialect and the form that were asked for, and read again", async (t) => {
  const addon = await loaded(t, { request: () => {} })
  const asks: [url: string, json: JsonObject][] = [
    ["https://api.openai.com/v1/chat/completions", { model: "m", messages: [{ role: "user", content: "?" }] }],
    ["https://api.openai.com/v1/responses", { model: "m", input: "?" }],
    [
      "https://api.anthropic.com/v1/messages",
      { model: "m", max_tokens: 9, messages: [{ role: "user", content: "?" }] },
    ],
    ["http://127.0.0.1:11434/api/chat", { model: "m", messages: [{ role: "user", content: "?" }] }],
  ]
  const completion = {
    text: "Let me look.",
    toolCalls: [{ name: "look", arguments: '{"at":"it"}' }],
    usage: { inputTokens: 3, outputTokens: 4, totalTokens: 7 },
  }
  addon.answer({ completion })
  for (const [url, json] of asks) {
    for (const stream of [false, true]) {
      const got = (await addon.request({ url, json: { ...json, stream } })).completion
      const calls = got?.toolCalls.map(({ name, arguments: text }) => [name, JSON.parse(text)])
      assert.deepEqual(
        [got?.text, calls, got?.finishReason.unified, got?.streamed],
        ["Let me look.", [["look", { at: "it" }]], "toolCalls", stream],
        `${url} stream ${stream}`,
      )
    }
  }
  assert.deepEqual(
    addon.asked.map(({ url, llm }) => [url, llm?.model]),
    asks.flatMap(([url]) => [
      [url, "m"],
      [url, "m"],
    ]),
  )
})

test("answers come in turn, are made by functions, and are any HTTP", async (t) => {
  const addon = await loaded(t, { request: () => {} })
  async function* body() {
    yield "a"
    yield Buffer.from("b")
  }
  addon.answer(
    { status: 404, text: "none" },
    { json: { a: 1 }, headers: { "X-A": "b" } },
    ({ method, url, text }) => ({ bytes: Buffer.from(`${method} ${url} ${text}`) }),
    { body: body() },
    { cut: true },
    "only text",
  )
  const url = "http://any.example:81/x?y=z"
  const asked = async () => await addon.request({ url, text: "hi", headers: { "X-Who": "me" } })
  const none = await asked()
  assert.deepEqual(
    [none.status, none.text, none.headers.get("content-type")],
    [404, "none", "text/plain; charset=utf-8"],
  )
  const json = await asked()
  assert.deepEqual([json.json(), json.headers.get("x-a")], [{ a: 1 }, "b"])
  assert.equal((await asked()).text, `POST ${url} hi`)
  assert.equal((await asked()).text, "ab")
  assert.equal((await asked()).status, 502, "a cut before the head")
  assert.equal((await asked()).text, "only text", "the last one stays")
  assert.equal((await asked()).text, "only text")
  assert.equal(addon.asked[0]?.headers.get("x-who"), "me")
  assert.equal(addon.flows.length, 7)
})

test("a client that leaves ends its flow, and a hook that fails is in the log", async (t) => {
  const leaving = new AbortController()
  const errors: string[] = []
  const addon = await loaded(t, {
    name: "watch",
    request: () => {
      throw new Error("not today")
    },
    error: (_flow, error) => void errors.push(error.source),
  })
  async function* endless() {
    yield "begun"
    await new Promise(() => {})
  }
  addon.answer({ body: endless() })
  const { status, text, broken } = await addon.request({
    url: "http://any.example/",
    signal: leaving.signal,
    onPiece: () => leaving.abort(),
  })
  assert.deepEqual([status, text, broken !== undefined, errors], [200, "begun", true, ["client"]])
  assert.equal(addon.log.errors.length, 1)
  assert.match(addon.log.errors[0] ?? "", /^addon "watch": request failed: not today \(.*load-addon\.test\.ts/)
  assert.match(await addon.log.line(/not today/), /^error/)
})

test("pages, events, metrics and requests of its own are seen from outside", async (t) => {
  const addon = await loaded(t, {
    name: "page",
    setup({ serve, events, metrics, state }) {
      const counter = metrics.counter({ name: "page_views_total", help: "Views." })
      serve({ method: "GET", path: "/page", access: "open" }, () => {
        counter.add(1)
        return Response.json({ seen: state.get("seen") ?? null })
      })
      return {
        load: async () => {
          await events.subscribe("page.seen", (value) => void state.set("seen", value))
        },
        async request(flow) {
          const answer = await flow.send({ text: "?" }, { url: "http://other.example/", until: "head" })
          flow.respond({ text: `other says ${await answer.text()}` })
        },
      }
    },
  })
  await addon.events.publish("page.seen", "x")
  assert.deepEqual((await addon.request({ url: "/page" })).json(), { seen: "x" })
  assert.equal(addon.metrics()[0]?.series[0]?.value, 1)
  addon.answer("yes")
  assert.equal((await addon.request({ url: "http://first.example/" })).text, "other says yes")
  assert.deepEqual(
    addon.flows.map(({ request, parent }) => [request.host, parent?.request.host]),
    [
      ["other.example", "first.example"],
      ["first.example", undefined],
    ],
  )
})

test("what an addon sends by itself goes to the test's upstream, and is its own", async (t) => {
  const addon = await loaded(t, {
    name: "asking",
    setup: ({ send, log }) => ({
      async running() {
        const answer = await send({ json: HELLO }, { url: "https://api.openai.com/v1/chat/completions" })
        log.info(`${answer.flow.client.id} was told: ${(await answer.completion()).text}`)
      },
    }),
  })
  assert.equal(await addon.log.line("was told"), "info asking: addon:asking was told: Hello.")
  assert.equal(addon.asked[0]?.llm?.model, "m")
})

test("options are set while it runs, all or nothing", async (t) => {
  const changes: string[][] = []
  const addon = await loaded(
    t,
    defineAddon({
      name: "opt",
      options: {
        word: { type: "string", default: "a", help: "A word." },
        times: { type: "integer", default: 1, help: "How often." },
      },
      setup: ({ options }) => ({
        configure: (changed) => {
          if (options.word === "bad") throw new Error("not that word")
          changes.push([...changed])
        },
        request: (flow) => flow.respond({ text: options.word.repeat(options.times) }),
      }),
    }),
  )
  const said = async () => (await addon.request({ url: "http://x.example/" })).text
  await addon.set({ word: "b" })
  await addon.set({ times: 2 })
  assert.equal(await said(), "bb")
  await assert.rejects(addon.set({ word: "bad" }), /not that word/)
  await assert.rejects(addon.set({ wrod: "c" }), /no option named "wrod"; did you mean "word"/)
  assert.equal(await said(), "bb")
  assert.deepEqual(changes.slice(0, 3), [["opt.word", "opt.times"], ["opt.word"], ["opt.times"]])
})

test("a hook is called directly, and what it throws is the test's", async (t) => {
  const seen: unknown[] = []
  const addon = await loaded(t, {
    name: "direct",
    clientConnected: (client) => void seen.push(client.address),
    done: async () => {
      if (seen.length === 1) throw new Error("thrown")
    },
  })
  await addon.fire("clientConnected", { address: "10.0.0.1", port: 1 })
  assert.deepEqual(seen, ["10.0.0.1"])
  await assert.rejects(addon.fire("done"), /^Error: thrown$/)
  await assert.rejects(addon.fire("load"), /the addon "direct" has no hook "load"/)
  seen.push("so that the last one is silent")
})

test("what is wrong with an addon or an option rejects, and what the test's own answer throws is said", async () => {
  await assert.rejects(loadAddon("nowhere.ts"), /nowhere\.ts/)
  await assert.rejects(loadAddon({ name: "a", requst: () => {} } as AddonDefinition), /no hook named "requst"/)
  await assert.rejects(loadAddon(LIMITED, { options: { requests: 0 } }), /requests/)
  await assert.rejects(loadAddon(LIMITED, { program: { bodyLimt: 1 } }), /bodyLimt/)
  const addon = await loadAddon({ request: () => {} })
  addon.answer(() => {
    throw new Error("of the test")
  })
  assert.equal((await addon.request({ url: "http://x.example/" })).status, 502)
  await assert.rejects(addon.close(), /^Error: of the test$/)
})

test("others stand behind it, whether it is a definition or a file", async (t) => {
  const seen: string[] = []
  const other = defineAddon({ name: "other", llmRequest: (flow) => void seen.push(flow.llm.request.model) })
  const first = t.testdir({
    "first.js": 'export default { name: "first", llmRequest(flow) { flow.llm.request.model = "first was here" } }',
  })
  const addon = await loadAddon(join(first, "first.js"), { others: [other] })
  t.teardown(() => addon.close())
  await addon.chat("Hello?")
  t.strictSame(seen, ["first was here"])
})
