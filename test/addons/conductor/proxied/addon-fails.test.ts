/** An addon that fails a local answer has failed the flow: no other host is asked for what it has stopped. */
import { test } from "tap"
import type { AddonDefinition } from "../../../../lib/api/addon.ts"
import type { Delta } from "../../../../lib/api/flow.ts"
import { localHost, startRig } from "../../../helpers/conductor-rig.ts"
import { hello } from "../../../helpers/hosts/local-hosts.ts"
import { chatEvent, DONE, FINISH, sseAnswer } from "../../../helpers/hosts/proxy-host.ts"

const WRONG = (_: Delta): Delta => {
  throw new Error("no secret passes")
}

function transforming(fn: (delta: Delta) => unknown): AddonDefinition {
  const transform = fn as (delta: Delta) => Delta
  return {
    name: "guard",
    responseHeaders: (flow) => flow.response?.transformDeltas(transform),
  }
}

const FORMS: Readonly<Record<string, object>> = { whole: {}, streamed: { stream: true } }

for (const [form, more] of Object.entries(FORMS)) {
  test(`a transform that throws is its addon's failure, and the prompt stays where it is: ${form}`, async (t) => {
    const local = localHost((request, socket) => {
      const streams = JSON.parse(request.body.toString()).stream === true
      socket.write(streams ? sseAnswer(chatEvent("hi"), FINISH, DONE) : hello(request))
    })
    for (const scripts of [["addons/conductor.ts"], ["addons/conductor.ts", "addons/requery.ts"]]) {
      const rig = await startRig(t, {
        local,
        scripts,
        set: { localApi: "messages" },
        builtin: [transforming(WRONG)],
        cloud: (_, socket) => void socket.write(sseAnswer(chatEvent("from the cloud"), FINISH, DONE)),
      })
      for (let count = 0; count < 2; count++) {
        const { status, text } = await rig.chat(more)
        t.match(text, /addon \\+"guard\\+": transformDeltas failed; the log of llmproxy has the reason/, `${scripts}`)
        t.notMatch(text, /no secret passes/)
        t.equal(status, 502)
      }
      t.match(rig.lines.join("\n"), /addon "guard": transformDeltas failed: no secret passes \(.*\.ts:\d+:\d+\)/)
      t.equal(rig.cloud.requests.length, 0, "the cloud is not asked")
      t.equal(rig.local?.requests.filter(({ method }) => method === "POST").length, 2, "and the host is not left alone")
    }
  })
}

test("an asynchronous transform of deltas is said to be one", async (t) => {
  const rig = await startRig(t, {
    local: localHost((request, socket) => void socket.write(hello(request))),
    set: { localApi: "messages" },
    builtin: [transforming(async (delta) => delta)],
  })
  const { status, text } = await rig.chat()
  t.equal(status, 502)
  t.match(text, /transformDeltas failed; the log of llmproxy has the reason/)
  const logged = /transformDeltas failed: it is asynchronous; a stream does not wait for what a delta becomes/
  t.match(rig.lines.join("\n"), logged)
})
