/** Who asks on a WebSocket: named once, when it is opened; each turn with a model has that name. */
import assert from "node:assert/strict"
import { test } from "tap"
import { defineAddon } from "../../lib/api/addon.ts"
import { loadAddon } from "../../lib/testing/load-addon.ts"

const RESPONSE = { id: "resp_1", object: "response", created_at: 1, model: "gpt-4o", output: [], status: "completed" }
const CREATE = { type: "response.create", model: "gpt-4o", input: "Hello." }

test("the turns of a WebSocket have the name of who opened it, and are not asked about", async (t) => {
  const asked: string[] = []
  const named: unknown[] = []
  const addon = await loadAddon(
    defineAddon({
      name: "keys",
      authenticate({ request, identify, refuse }) {
        asked.push(request.path)
        if (request.headers.get("authorization") !== "Bearer of-ann") return refuse(401, "this key is not known")
        identify("ann", "Ann of sales")
      },
      llmRequest(flow) {
        named.push([flow.client.user, flow.client.label, flow.llm.request.model])
      },
    }),
  )
  t.teardown(() => addon.close())
  addon.serveWebSocket(async (socket) => {
    while ((await socket.next()) !== undefined) {
      socket.send(JSON.stringify({ type: "response.created", response: { ...RESPONSE, status: "in_progress" } }))
      socket.send(JSON.stringify({ type: "response.completed", response: RESPONSE }))
    }
  })
  const socket = await addon.websocket("wss://api.openai.com/v1/responses", { Authorization: "Bearer of-ann" })
  for (let turn = 0; turn < 2; turn++) {
    socket.send(JSON.stringify(CREATE))
    assert.match(String(await socket.next()), /response\.created/)
    assert.match(String(await socket.next()), /response\.completed/)
  }
  await socket.close()
  assert.deepEqual(asked, ["/v1/responses"])
  assert.deepEqual(named, [
    ["ann", "Ann of sales", "gpt-4o"],
    ["ann", "Ann of sales", "gpt-4o"],
  ])
  await assert.rejects(addon.websocket("wss://api.openai.com/v1/responses"), /401/)
  assert.equal(named.length, 2)
})
