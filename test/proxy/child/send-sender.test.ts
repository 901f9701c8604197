/** Whose call it was is known of every call, whatever hook runs meanwhile: from a timer, from a transform, from a child. */
import { test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import {
  addon,
  answer,
  chat,
  chatJson,
  gate,
  jsonAnswer,
  origin,
  request,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"

/** Enough turns of the event loop for what is under way within this process. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}

test("a send in the background is hidden from its sender, shown to the addon whose hook runs, and stops its time not", async (t) => {
  const { opened, open } = gate()
  const answered = gate()
  const seen: string[] = []
  const up = await origin(t, async ({ target }, socket) => {
    if (target === "/child") await answered.opened
    socket.write(answer(target))
  })
  let sent: Promise<unknown> | undefined
  const background = addon("background", {
    request(flow: Flow) {
      seen.push(`background ${flow.request.path}`)
      const send = () => flow.send({ method: "GET" }, { url: `http://127.0.0.1:${up.port}/child` })
      sent = opened.then(send)
    },
  })
  const busy = addon("busy", {
    async request(flow: Flow) {
      seen.push(`busy ${flow.request.path}`)
      if (flow.parent === undefined) await new Promise<void>(() => {})
    },
  })
  const host = await startHost(t, { addons: [background, busy] })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/parent"))
  await until(() => seen.length === 2)
  await turns()
  open()
  await up.received(1)
  t.strictSame(seen, ["background /parent", "busy /parent", "busy /child"])
  host.clock.advance(5_000)
  await up.received(2)
  t.match(host.lines.join("\n"), /addon "busy": request took more than 5000 ms/)
  answered.open()
  await sent
  t.equal((await wire.response()).text, "/parent")
  await host.settled()
})

test("a send within a transform is not shown to its sender, so it does not come back to itself", async (t) => {
  const seen: string[] = []
  const up = await origin(t, ({ target }, socket) => void socket.write(answer(`${target} `)))
  const asks = addon("asks", {
    responseHeaders(flow: Flow) {
      seen.push(`asks ${flow.request.path}`)
      flow.response?.transform(async function* (chunks: AsyncIterable<Buffer>) {
        yield* chunks
        const sent = await flow.send({ method: "GET" }, { url: `http://127.0.0.1:${up.port}/child` })
        yield await sent.text()
      })
    },
  })
  const other = addon("other", { responseHeaders: (flow: Flow) => void seen.push(`other ${flow.request.path}`) })
  const host = await startHost(t, { addons: [asks, other] })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/parent"))
  t.equal((await wire.response()).text, "/parent /child ")
  t.strictSame(seen, ["asks /parent", "other /parent", "other /child"])
  t.equal(up.requests.length, 2)
})

test("what an addon sends from its own child is hidden from it as well", async (t) => {
  const seen: string[] = []
  const up = await origin(t, ({ target }, socket) => {
    const whole = answer(target)
    socket.write(target === "/child" ? whole.subarray(0, -1) : whole) // The child has to be there still.
  })
  const url = (path: string) => `http://127.0.0.1:${up.port}${path}`
  const asks = addon("asks", {
    async request(flow: Flow) {
      seen.push(`asks ${flow.request.path}`)
      const child = await flow.send({ method: "GET" }, { url: url("/child"), until: "head" })
      t.equal(child.flow.parent, flow, "an addon has one object for a flow")
      const grandchild = await child.flow.send({ method: "GET" }, { url: url("/grandchild") })
      flow.respond({ text: await grandchild.text() })
    },
  })
  const other = addon("other", { request: (flow: Flow) => void seen.push(`other ${flow.request.path}`) })
  const host = await startHost(t, { addons: [other, asks] })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/parent"))
  t.equal((await wire.response()).text, "/grandchild")
  t.strictSame(seen, ["other /parent", "asks /parent", "other /child", "other /grandchild"])
})

test("who holds an answer is who called hold, not the addon whose hook runs", async (t) => {
  const seen: string[] = []
  let held: Flow | undefined
  const holds = addon("holds", {
    request: (flow: Flow) => {
      held = flow
    },
    llmResponse(flow) {
      seen.push("holds")
      if (seen.length === 1) flow.respond({ json: chatJson("better") as never })
    },
  })
  const running = addon("running", {
    responseHeaders: () => held?.response?.hold(),
    llmResponse: (_, completion) => void seen.push(`running ${completion.text}`),
  })
  const host = await startHost(t, { addons: [running, holds] })
  const up = await origin(t, (_, socket) => void socket.write(jsonAnswer(chatJson("bad"))))
  const wire = await host.connect()
  wire.write(chat(up.port))
  await wire.response("POST")
  await host.settled()
  t.strictSame(seen, ["holds", "running better"])
})
