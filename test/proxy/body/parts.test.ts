/** Parts of messages: a text is a string, or the request is read by nobody. */
import assert from "node:assert/strict"
import { test } from "tap"
import { addon, answer, origin, request, startHost } from "../../helpers/hosts/proxy-host.ts"

const PATHS: readonly (readonly [path: string, list: "messages" | "input"])[] = [
  ["/v1/chat/completions", "messages"],
  ["/v1/messages", "messages"],
  ["/api/chat", "messages"],
  ["/v1/responses", "input"],
]

test("a part's text is a string, or there is none: the parts of every dialect are read alike", async (t) => {
  const seen: unknown[] = []
  const reads = addon("reads", {
    llmRequest({ llm }) {
      for (const { content } of llm.request.messages) {
        if (!Array.isArray(content)) continue
        for (const part of content) {
          seen.push(part.text ?? part.type)
          if (typeof part.text === "string") part.text = part.text.toUpperCase()
        }
      }
    },
  })
  for (const [path, list] of PATHS) {
    const host = await startHost(t, { addons: [reads] })
    const up = await origin(t, (_, socket) => void socket.write(answer("{}")))
    const wire = await host.connect()
    const content = [{ type: "text", text: "a" }, { type: "image", text: null, raw: 1 }, { type: "own" }]
    const body = JSON.stringify({ model: "m", max_tokens: 9, [list]: [{ role: "user", content }] })
    wire.write(request("POST", up.port, path, body))
    await wire.response("POST")
    assert.deepEqual(seen.splice(0), ["a", "image", "own"], path)
    assert.equal(up.requests[0]?.body.toString(), body.replace('"a"', '"A"'), path)
  }
})

test("a request with a text that is none is told as unparsed; who insists on reading stops it", async (t) => {
  for (const [path, list] of PATHS) {
    for (const onError of ["continue", "block"] as const) {
      let heard = 0
      const guard = addon("guard", { llmRequest: () => void heard++ }, { onError })
      const host = await startHost(t, { addons: [guard] })
      const up = await origin(t, (_, socket) => void socket.write(answer("passed")))
      const wire = await host.connect()
      const content = [{ type: "text", text: ["hidden"] }]
      const body = JSON.stringify({ model: "m", max_tokens: 9, [list]: [{ role: "user", content }] })
      wire.write(request("POST", up.port, path, body))
      const response = await wire.response("POST")
      assert.equal(heard, 0)
      assert.equal(response.status, onError === "block" ? 400 : 200, path)
      if (onError === "continue") assert.equal(up.requests[0]?.body.toString(), body)
      else assert.equal(up.connections, 0)
    }
  }
})
