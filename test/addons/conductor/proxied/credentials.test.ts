/** Whose key goes where: keys never reach the local host, ours only the base upstream, and no prompt leaves without one. */
import { test } from "tap"
import { call, openSession } from "../../../helpers/clients/h2-client.ts"
import {
  CHAT_PATH,
  CLOUD,
  chatBody,
  fieldOf,
  flowWatcher,
  localHost,
  message,
  sentTo,
  startRig,
} from "../../../helpers/conductor-rig.ts"
import { chatJson, jsonAnswer, origin, textEvent } from "../../../helpers/hosts/proxy-host.ts"
import { always } from "../../../helpers/test-proxy.ts"

const CLOUD_TEXT = always(jsonAnswer(chatJson("from the cloud")).toString())
const LARGE = { messages: [{ role: "user", content: "word ".repeat(6_000) }] }
const bearer = (key: string) => `Authorization: Bearer ${key}\r\n`

test("no credential of the client's reaches the local host; localKey does", async (t) => {
  const text = JSON.parse(textEvent("hi").slice(6))
  const rig = await startRig(t, {
    local: localHost((_, socket) => void socket.write(jsonAnswer(text))),
    set: { localKey: "local-secret" },
    env: { OPENAI_API_KEY: "sk-cloud" },
  })
  const fields = `${bearer("sk-own")}api-key: a\r\nx-api-key: b\r\nCookie: c=d\r\nOpenAI-Organization: org\r\nOpenAI-Project: p\r\n`
  await rig.chat({}, fields)
  const wire = await rig.through()
  wire.write(message("POST", CHAT_PATH, CLOUD, chatBody(), fields))
  await wire.response("POST")
  const requests = rig.local?.requests ?? []
  t.ok(requests.length >= 4)
  for (const request of requests) {
    t.equal(fieldOf(request, "authorization"), "Bearer local-secret")
    t.notMatch(request.head, /sk-|api-key|cookie|openai/i)
  }
})

test("a base-URL request keeps a key of OpenAI's, and no other", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD_TEXT, set: { cloudKey: "sk-cloud" } })
  const cases = [
    ["sk-own", "sk-own"],
    ["sk-proj-own", "sk-proj-own"],
    ["sk-ant-api03-x", "sk-cloud"],
    ["sk-or-v1-x", "sk-cloud"],
    ["not-needed", "sk-cloud"],
    ["sk-no-key-required", "sk-cloud"],
    ['"not-needed"', "sk-cloud"],
    ["", "sk-cloud"],
  ] as const
  for (const [given, sent] of cases) {
    const response = await rig.chat(LARGE, bearer(given))
    t.equal(response.status, 200)
    const request = rig.cloud.requests.at(-1)
    t.equal(request && fieldOf(request, "authorization"), `Bearer ${sent}`, given)
  }
  await rig.chat(LARGE)
  const request = rig.cloud.requests.at(-1)
  t.equal(request && fieldOf(request, "authorization"), "Bearer sk-cloud", "none at all")
})

test("with cloudKey in its place, nothing stays that belonged to the client's key", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD_TEXT, env: { OPENAI_API_KEY: "sk-cloud" } })
  await rig.chat(LARGE, "Cookie: a=b\r\napi-key: x\r\nx-api-key: y\r\nOpenAI-Organization: o\r\nOpenAI-Beta: b\r\n")
  const [request] = rig.cloud.requests
  t.notMatch(request?.head, /cookie|api-key|organization/i)
  t.match(request?.head, /OpenAI-Beta: b/)
})

test("cloudKey comes from OPENAI_API_KEY, also from .env, and a placeholder is none", async (t) => {
  const sources = [
    [{ env: { OPENAI_API_KEY: "sk-a" } }, 200],
    [{ envFile: { OPENAI_API_KEY: "sk-a" } }, 200],
    [{ envFile: { OPENAI_API_KEY: ':"not-needed"' } }, 400],
    [{ env: { OPENAI_API_KEY: "" } }, 400],
  ] as const
  for (const [source, status] of sources) {
    const rig = await startRig(t, { cloud: CLOUD_TEXT, ...source })
    t.equal((await rig.chat(LARGE)).status, status, JSON.stringify(source))
    t.equal(rig.cloud.requests.length, status === 200 ? 1 : 0)
  }
})

test("an intercepted request keeps its credentials, whatever they are", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD_TEXT, set: { cloudKey: "sk-cloud", cloudModel: "gpt-5" } })
  const wire = await rig.through()
  wire.write(message("POST", CHAT_PATH, CLOUD, chatBody(LARGE), `${bearer("odd")}Cookie: a=b\r\n`))
  await wire.response("POST")
  const [request] = rig.cloud.requests
  t.match(request?.head, /Authorization: Bearer odd\r\nCookie: a=b/)
  t.strictSame(sentTo(rig.cloud, CHAT_PATH), chatBody(LARGE))
})

test("cloudModel changes that one value", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD_TEXT, set: { cloudModel: "gpt-5", cloudKey: "sk-cloud" } })
  const body = `{"x" : 1.0, "model":"deepseek",  "messages":${JSON.stringify(LARGE.messages)} }`
  await rig.ask("POST", CHAT_PATH, body)
  t.equal(rig.cloud.requests[0]?.body.toString(), body.replace("deepseek", "gpt-5"))
})

test("a request that another addon sends elsewhere does not take our key along", async (t) => {
  const elsewhere = await origin(t, CLOUD_TEXT)
  const url = `http://127.0.0.1:${elsewhere.port}`
  const folder = t.testdir({ "later.ts": `export function llmRequest(flow) { flow.route({ url: "${url}" }) }` })
  const scripts = ["addons/conductor.ts", `${folder}/later.ts`]
  const rig = await startRig(t, { scripts, env: { OPENAI_API_KEY: "sk-cloud" } })
  t.equal((await rig.chat(LARGE)).status, 200)
  const [request] = elsewhere.requests
  t.notMatch(request?.head, /authorization|sk-cloud/i)
  t.equal(rig.cloud.requests.length, 0)
})

test("whoever is told to set a key is told that it is a placeholder that is set", async (t) => {
  const rig = await startRig(t, { env: { OPENAI_API_KEY: "not-needed" } })
  const dropped = /OPENAI_API_KEY.*It is set, to a placeholder, which is not used/
  t.match((await rig.ask("POST", "/v1/embeddings", { model: "m", input: "x" })).text, dropped)
  t.match((await rig.chat()).text, dropped)
  t.match((await rig.ask("GET", "/v1/models")).text, dropped)
  const without = await startRig(t)
  t.notMatch((await without.chat()).text, "placeholder")
})

test("other base-URL requests get the key as well, and without one nothing that may hold a prompt leaves", async (t) => {
  const withKey = await startRig(t, { cloud: CLOUD_TEXT, env: { OPENAI_API_KEY: "sk-cloud" } })
  const without = await startRig(t, { cloud: CLOUD_TEXT })
  const body = { model: "text-embedding-3-small", input: "secret" }
  t.equal((await withKey.ask("POST", "/v1/embeddings", body)).status, 200)
  const [request] = withKey.cloud.requests
  t.equal(request && fieldOf(request, "authorization"), "Bearer sk-cloud")
  t.strictSame(sentTo(withKey.cloud, "/v1/embeddings"), body)
  for (const path of ["/v1/embeddings", "/v1/completions", "/v1/responses", "/v1/files"]) {
    const refused = await without.ask("POST", path, body)
    t.equal(refused.status, 401, path)
    t.match(refused.text, /set OPENAI_API_KEY/)
    t.notMatch(refused.text, /secret|can be read/)
  }
  const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
  t.equal((await without.ask("GET", "/v1/realtime", undefined, upgrade)).status, 401)
  t.equal((await without.ask("GET", "/v1/files", body)).status, 401, "with a body")
  t.equal(without.cloud.requests.length, 0)
  t.equal((await without.ask("GET", "/v1/files")).status, 200, "a question without a body passes")
  t.equal((await without.ask("POST", "/v1/embeddings", body, bearer("sk-own"))).status, 200)
})

test("a chat that cannot be read leaves the machine with a key only", async (t) => {
  const deep = `{"messages":[${"[".repeat(600)}${"]".repeat(600)}]}`
  const odd = ["{ no json", '{"messages":"hi"}', '{"messages":[{"content":"no role"}]}', "[]", deep]
  const watcher = flowWatcher()
  const without = await startRig(t, { cloud: CLOUD_TEXT, builtin: [watcher.addon] })
  for (const body of odd) {
    const refused = await without.ask("POST", CHAT_PATH, body)
    t.equal(refused.status, 401, body.slice(0, 40))
    t.match(
      refused.text,
      /would go to api\.openai\.com, as the body is no chat that can be read, and the request has no key for it/,
    )
    const reason = "the body is no chat that can be read, and no key for api.openai.com"
    t.match(watcher.flows.at(-1)?.routed, { name: "local", reason }, "the terminal and the history say why")
  }
  const bytes = Buffer.concat([
    Buffer.from('{"messages":[{"role":"user","content":"'),
    Buffer.from([0xff]),
    Buffer.from('"}]}'),
  ])
  const wire = await without.door()
  wire.write(`POST ${CHAT_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${bytes.length}\r\n\r\n`)
  wire.write(bytes)
  t.equal((await wire.response("POST")).status, 401, "no UTF-8")
  t.equal(without.cloud.requests.length, 0)
  const withKey = await startRig(t, { cloud: CLOUD_TEXT, env: { OPENAI_API_KEY: "sk-cloud" } })
  for (const body of odd) {
    t.equal((await withKey.ask("POST", CHAT_PATH, body)).status, 200)
    t.equal(withKey.cloud.requests.at(-1)?.body.toString(), body, "forwarded unchanged")
  }
})

test("a base upstream on this machine needs no key for what is no chat", async (t) => {
  const upstream = await origin(t, always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
  const rig = await startRig(t, { flags: { baseUpstream: `http://127.0.0.1:${upstream.port}` } })
  t.equal((await rig.ask("POST", "/v1/embeddings", { input: "x" })).text, "ok")
  t.equal((await rig.chat(LARGE)).status, 400, "a chat is kept all the same")
})

test("cloudKey is for no page of another site, whatever it asks for, over HTTP/2 too", async (t) => {
  const rig = await startRig(t, {
    cloud: CLOUD_TEXT,
    env: { OPENAI_API_KEY: "sk-cloud" },
    flags: { baseOrigin: ["https://my.example"] },
  })
  const session = await openSession(t, `http://127.0.0.1:${rig.port}`)
  for (const [fields, status] of [
    [{ "sec-fetch-site": "cross-site" }, 403],
    [{ "sec-fetch-site": "same-site", origin: "https://other.example" }, 403],
    [{ "sec-fetch-site": "cross-site", origin: "https://my.example" }, 200],
  ] as const) {
    const before = rig.cloud.requests.length
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
    const chat = { ":method": "POST", ":path": CHAT_PATH, "content-type": "application/json", ...fields }
    const statuses = [
      (await rig.chat(LARGE, lines.join(""))).status,
      (await rig.ask("GET", "/v1/files", undefined, lines.join(""))).status,
      (await rig.ask("GET", "/v1/models", undefined, lines.join(""))).status,
      (await call(session, { ":path": "/v1/files", ...fields })).status,
      (await call(session, chat, JSON.stringify(chatBody(LARGE)))).status,
    ]
    t.strictSame(statuses.slice(0, 2), [status, status], lines.join())
    t.strictSame(statuses.slice(3), [status, status], `HTTP/2, ${lines.join()}`)
    // The cloud's list is none here, and nobody's is no page.
    t.equal(statuses[2], status === 200 ? 502 : status)
    const keys = rig.cloud.requests.slice(before).map((request) => fieldOf(request, "authorization"))
    t.strictSame(keys, status === 200 ? Array(5).fill("Bearer sk-cloud") : [])
  }
})

test("cloudKey is for nobody who comes from another machine and has not authenticated", async (t) => {
  const proof = `Proxy-Authorization: Basic ${Buffer.from("me:word").toString("base64")}\r\n`
  const withKey = { cloud: CLOUD_TEXT, env: { OPENAI_API_KEY: "sk-cloud" } }
  await t.rejects(
    startRig(t, { ...withKey, flags: { host: "0.0.0.0" } }),
    /"conductor" puts keys of yours into requests/,
  )
  const rig = await startRig(t, { ...withKey, flags: { host: "0.0.0.0", proxyAuth: "me:word" } })
  t.equal((await rig.chat(LARGE, proof)).status, 200)
  t.equal((await rig.ask("POST", "/v1/embeddings", { input: "x" }, proof)).status, 200)
  t.equal(rig.cloud.requests.length, 2)
  const nobody = await startRig(t, { cloud: CLOUD_TEXT, env: {}, flags: { host: "0.0.0.0" } })
  t.equal(
    (await nobody.ask("POST", "/v1/embeddings", { input: "x" }, "")).status,
    401,
    "without a key there is none to give",
  )
})
