/** What an addon has in its hands is the flow itself: everything it reads is the flow's, everything it sets arrives there. */
import { test } from "tap"
import { Headers } from "../../../lib/base/headers.ts"
import { FlowResponseState } from "../../../lib/proxy/flow/response.ts"
import { FlowState } from "../../../lib/proxy/flow/state.ts"
import { llmFlow } from "../../../lib/testing/flows.ts"
import { addon } from "../../helpers/hosts/proxy-host.ts"

async function bothOf() {
  const { flow } = await llmFlow({ json: { model: "m", messages: [{ role: "user", content: "hi" }] } })
  if (!(flow instanceof FlowState)) throw new Error("llmFlow gives a flow's state")
  return { flow, view: flow.viewFor(addon("mine", {})) }
}

test("every field of the flow is read as it is", async (t) => {
  const { flow, view } = await bothOf()
  const same = [
    ...(["id", "client", "server", "metadata", "baseUrl", "signal", "routed", "error", "timings", "llm"] as const),
    ...(["websocket", "unparsed", "parent", "turn", "response"] as const),
  ]
  for (const name of same) t.equal(view[name], flow[name], name)
  t.equal(view.original.url, flow.original.url)
  t.strictSame(view.snapshot(), flow.snapshot())
  flow.turn = { number: 2, socket: flow }
  t.strictSame(view.turn?.number, 2)
  t.equal(view.turn?.socket, view)
  t.not(flow.viewFor(addon("other", {})), view)
})

test("what is set in the request is set in the flow's", async (t) => {
  const { flow, view } = await bothOf()
  const { request } = view
  t.equal(view.request, request)
  for (const [name, value] of [
    ["method", "PUT"],
    ["scheme", "http"],
    ["host", "other.test"],
    ["port", 81],
    ["path", "/p"],
    ["text", "{}"],
    ["url", "https://last.test/"],
  ] as const) {
    Object.assign(request, { [name]: value })
    t.equal(request[name], value)
    t.equal(flow.request[name], value)
  }
  t.equal(request.version, flow.request.version)
  t.equal(request.headers, flow.request.headers)
  t.equal(request.bytes, flow.request.bytes)
  t.strictSame(request.json(), {})
  await request.collect()
})

test("what is asked of the response is asked of the flow's, also where another takes its place", async (t) => {
  const { flow, view } = await bothOf()
  const made = (status: number) => {
    const head = { status, reason: "x", headers: new Headers() }
    return new FlowResponseState(head, flow.memory, {
      completion: undefined,
      edit() {},
      collect: async () => Buffer.from('{"a":1}'),
    })
  }
  flow.response = made(200)
  const { response } = view
  if (response === undefined) throw new Error("there is a response")
  t.equal(view.response, response)
  response.status = 404
  response.reason = "gone"
  response.keep(10)
  response.hold()
  response.transform((bytes: Buffer) => bytes)
  response.transformDeltas((delta) => delta)
  await response.collect()
  t.strictSame(response.json(), { a: 1 })
  response.text = "b"
  t.equal(response.text, "b")
  t.equal(String(response.bytes), "b")
  t.equal(response.truncated, false)
  t.equal(response.headers, flow.response.headers)
  const { status, reason, keepBytes, holding, holders, chunkTransforms, deltaTransforms } = flow.response
  t.strictSame(
    [status, reason, keepBytes, holding, response.status, response.reason],
    [404, "gone", 10, true, 404, "gone"],
  )
  t.strictSame([chunkTransforms.length, deltaTransforms.length], [1, 1])
  t.strictSame(
    [...holders].map(({ name }) => name),
    ["mine"],
  )
  flow.response = made(201)
  t.equal(view.response?.status, 201)
})

test("what is done with the flow is done", async (t) => {
  const { flow, view } = await bothOf()
  view.addUsage({
    inputTokens: 1,
    outputTokens: 2,
    totalTokens: 3,
    cachedTokens: 0,
    reasoningTokens: 0,
    source: "counted",
  })
  t.equal(flow.exchange.spent.length, 1)
  view.route({ name: "here" })
  t.equal(flow.routed?.name, "here")
  view.respond({ text: "x" })
  t.equal(flow.replied?.kind, "reply")
  view.keepAlive("note")()
  t.equal(await view.waitFor(Promise.resolve(1)), 1)
  const paused = view.pause()
  view.resume()
  await paused
  await t.rejects(view.send({}, { url: "http://x.test/" }))
  view.kill("enough")
  t.equal(flow.error?.message, "enough")
})
