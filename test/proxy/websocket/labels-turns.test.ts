/** Bytes before labels, for a turn on a WebSocket that an addon sends elsewhere over HTTP. */
import { test } from "tap"
import { addon, origin } from "../../helpers/hosts/proxy-host.ts"
import { startSocketHost } from "../../helpers/hosts/websocket-host.ts"
import { LABELS, labelled } from "../../helpers/llm/answer-forms.ts"

const ITEM = { type: "message", role: "assistant", content: [{ type: "output_text", text: "from afar" }] }
const RESPONSE = { id: "resp_1", object: "response", model: "m", status: "completed", output: [ITEM] }
const EVENTS = [
  { type: "response.created", response: { id: "resp_1", model: "m", status: "in_progress" } },
  { type: "response.output_text.delta", output_index: 0, content_index: 0, delta: "from afar" },
  { type: "response.completed", response: RESPONSE },
]
const STREAMS = [
  EVENTS.map((event) => `event: ${event.type}\r\ndata: ${JSON.stringify(event)}\r\n\r\n`).join(""),
  EVENTS.map((event) => `${JSON.stringify(event)}\n`).join(""),
]
const WHOLE = [JSON.stringify(RESPONSE), `\uFEFF${JSON.stringify(RESPONSE, undefined, 2)}\n`]

test("a turn that was sent elsewhere gets messages, whatever the label of its answer was", async (t) => {
  let body = ""
  let label: string | undefined
  const elsewhere = await origin(t, (_, socket) => void socket.write(labelled(body, label)))
  const route = addon("route", {
    llmRequest: (flow) => void flow.route({ url: `http://127.0.0.1:${elsewhere.port}/` }),
  })
  const host = await startSocketHost(t, { addons: [route] })
  const client = await host.client({}, "/v1/responses")
  const ask = JSON.stringify({ type: "response.create", model: "m", input: "hi" })
  for (label of LABELS) {
    for (body of STREAMS) {
      client.socket.send(ask)
      for (const event of EVENTS) t.strictSame(JSON.parse(String(await client.next())), event, `${body} as ${label}`)
    }
    for (body of WHOLE) {
      client.socket.send(ask)
      const expected = { type: "response.completed", response: RESPONSE }
      t.strictSame(JSON.parse(String(await client.next())), expected, `${body} as ${label}`)
    }
  }
  client.socket.close()
  await client.closed
})
