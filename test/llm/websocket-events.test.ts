/**
 * Which messages of a WebSocket are turns with a model.
 */
import { test } from "tap"
import { dialectNamed, socketDialectFor } from "../../lib/llm/index.ts"
import {
  eventOf,
  realtimeSocket,
  requestWithoutSocket,
  responseIdOf,
  responsesSocket,
} from "../../lib/llm/websocket-events.ts"

test("a conversation's dialect is told by its path", async (t) => {
  t.equal(socketDialectFor("/v1/responses"), responsesSocket)
  t.equal(socketDialectFor("/backend-api/codex/responses?x=1"), responsesSocket)
  t.equal(socketDialectFor("/v1/realtime?model=gpt-realtime"), realtimeSocket)
  t.equal(socketDialectFor("/v1/chat/completions"), undefined)
  t.equal(dialectNamed("openai-realtime"), realtimeSocket.dialect)
})

test("what belongs to a turn, and what ends it", async (t) => {
  const parts = (types: readonly string[]) => types.map((type) => responsesSocket.part({ type }, false))
  t.same(parts(["response.created", "response.output_text.delta"]), ["begins", "belongs"])
  t.same(parts(["response.completed", "response.failed", "response.incomplete", "error"]), [
    "ends",
    "ends",
    "ends",
    "ends",
  ])
  t.same(parts(["codex.rate_limits", "session.created"]), ["foreign", "foreign"])
  const added = ["steer.accepted", "steer.pending", "steer.failed", "inject.created", "inject.failed"]
  t.same(new Set(parts(added.map((what) => `response.${what}`))), new Set(["foreign"]))
  t.equal(responsesSocket.part({}, true), "foreign")
  t.equal(realtimeSocket.part({}, true), "foreign")
  t.equal(realtimeSocket.part({ type: "error" }, false), "ends")
  t.equal(realtimeSocket.part({ type: "error" }, true), "foreign")
  t.equal(realtimeSocket.part({ type: "response.created" }, false), "begins")
  t.equal(realtimeSocket.part({ type: "response.done" }, true), "ends")
  t.equal(realtimeSocket.part({ type: "conversation.item.added" }, true), "foreign")
  t.ok(responsesSocket.asks({ type: "response.create" }) && realtimeSocket.asks({ type: "response.create" }))
  t.notOk(responsesSocket.asks({ type: "response.cancel" }))
  t.equal(responsesSocket.lane({ stream_id: "s1" }), "s1")
  t.equal(realtimeSocket.lane({ stream_id: "s1" }), undefined)
})

test("what a server begins by itself has the parameters that it tells", async (t) => {
  const response = { id: "r", object: "response", status: "in_progress", output: [], error: null, usage: null }
  const told = { model: "m", previous_response_id: "before", instructions: "brief", temperature: 1.5 }
  const body = responsesSocket.wouldAsk({ type: "response.created", response: { ...response, ...told } })
  t.same(body, { ...told, type: "response.create", input: [] })
  const request = responsesSocket.dialect.parseRequest(body, "/v1/responses")
  t.match(request, { model: "m", system: "brief", temperature: 1.5, messages: [], stream: true })
  for (const odd of [undefined, null, "r", {}]) {
    const bare = responsesSocket.wouldAsk({ type: "response.created", ...(odd === undefined ? {} : { response: odd }) })
    t.equal(responsesSocket.dialect.parseRequest(bare, "/v1/responses")?.model, "")
  }
  t.same(realtimeSocket.wouldAsk({ response }), { type: "response.create", response })
})

test("an event names its response by its id or by the response itself", async (t) => {
  t.equal(responseIdOf({ response_id: "a" }), "a")
  t.equal(responseIdOf({ response: { id: "b" } }), "b")
  t.equal(responseIdOf({ item_id: "c" }), undefined)
})

test("a turn's request streams without saying so, and says so where it goes over HTTP", async (t) => {
  const text = '{ "type":"response.create", "stream_id":"s", "model":"m",  "input":"x", "n":1.0 }'
  const request = responsesSocket.dialect.parseRequest(eventOf(text) ?? {}, "/v1/responses")
  t.equal(request?.stream, true)
  if (request !== undefined) request.stream = false
  t.equal(request?.body.stream, undefined)
  t.equal(responsesSocket.dialect.parseRequest({ type: "response.create" }, "/v1/responses"), undefined)
  const body = requestWithoutSocket(Buffer.from(text)).toString("utf8")
  t.same(JSON.parse(body), { model: "m", input: "x", n: 1, stream: true })
  t.match(body, /"model":"m", {2}"input":"x", "n":1\.0/)
  t.equal(requestWithoutSocket(Buffer.from("no json")).toString("utf8"), "no json")
  t.equal(eventOf("[1]"), undefined)
})
