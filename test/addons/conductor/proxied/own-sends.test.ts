/** What an addon asks by itself is conducted as a client's request is; what it asks for a flow is not. */
import { test } from "tap"
import type { AddonContext, AddonDefinition } from "../../../../lib/api/addon.ts"
import { CHAT_PATH, CLOUD, chatBody, localHost, message, sentTo, startRig } from "../../../helpers/conductor-rig.ts"
import { chatJson, jsonAnswer } from "../../../helpers/hosts/proxy-host.ts"

test("a chat that an addon sends by itself goes to the local host, one that it sends for a flow to where it is sent", async (t) => {
  let given: AddonContext | undefined
  const url = `https://${CLOUD}${CHAT_PATH}`
  const headers = { authorization: "Bearer none" }
  const json = { model: "gpt-4o", messages: [{ role: "user", content: "hello" }] }
  const jobs: AddonDefinition = {
    name: "jobs",
    setup(context) {
      given = context
      return {
        async llmRequest(flow) {
          flow.respond(await context.send({ json, headers }, { url, parent: flow }))
        },
      }
    },
  }
  const rig = await startRig(t, {
    builtin: [jobs],
    local: localHost((_, socket) => void socket.write(jsonAnswer(chatJson("from here")))),
    cloud: (_, socket) => void socket.write(jsonAnswer(chatJson("from there"))),
    set: { localApi: "messages" },
  })
  const answered = await given?.send({ json, headers }, { url, until: "end" })
  t.equal((await answered?.completion())?.text, "from here")
  t.equal(answered?.flow.routed?.name, "local")
  t.match(sentTo(rig.local, CHAT_PATH), { messages: json.messages })
  t.equal(rig.cloud.requests.length, 0)
  const wire = await rig.through()
  wire.write(message("POST", CHAT_PATH, CLOUD, chatBody()))
  t.match((await wire.response("POST")).text, "from there")
  t.equal(rig.cloud.requests.length, 1)
})
