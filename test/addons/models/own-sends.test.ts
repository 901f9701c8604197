/** What other addons ask at the proxy's own address is taken as a client's request is. */
import { test } from "tap"
import { defineAddon } from "../../../lib/api/addon.ts"
import { hostOf, others, startModels } from "./rig.ts"

test("an addon asks a model, and for the list, at our own address, in its caller's name", async (t) => {
  const asks = defineAddon({
    name: "asks",
    setup({ serve, send }) {
      serve({ method: "POST", path: "/ask", access: "open" }, async (request, caller) => {
        const json = { model: "fast", messages: [{ role: "user", content: await request.text() }] }
        const answer = await send({ json }, { url: "/v1/chat/completions", until: "end", caller })
        return Response.json({ text: (await answer.completion()).text })
      })
      serve({ method: "GET", path: "/which", access: "open" }, async (_, caller) => {
        const answer = await send({ method: "GET" }, { url: "/v1/models", until: "end", caller })
        return new Response(await answer.text(), { headers: { "Content-Type": "application/json" } })
      })
      return {}
    },
  })
  const addon = await startModels(t, {}, { others: [asks] })
  const asked = await addon.request({ url: "/ask", text: "Hi." })
  t.same([asked.status, asked.text], [200, '{"text":"Hello."}'])
  t.same(
    others(addon).map((one) => [hostOf(one), one.llm?.model]),
    [["127.0.0.1:1234", "qwen3-4b"]],
  )
  const which = await addon.request({ url: "/which" })
  t.match(which.json(), { object: "list", data: [{ id: "gpt-4.1" }] })
})
