/** Hosts that refuse what they do not know: what is ours is left out, what is the client's is not. */
import { test } from "tap"
import { CHAT_PATH, localHost, sentTo, startRig } from "../../../helpers/conductor-rig.ts"
import { hello } from "../../../helpers/hosts/local-hosts.ts"
import { jsonAnswer } from "../../../helpers/hosts/proxy-host.ts"

/** Transformers serve's words, FastAPI's, and a sentence. */
const REFUSALS: Readonly<Record<string, (names: readonly string[]) => Buffer>> = {
  "a text": (names) =>
    jsonAnswer({ detail: `Unexpected fields in the request: {'${names.join("', '")}'}` }, "422 Unprocessable Entity"),
  "a list": (names) =>
    jsonAnswer(
      {
        detail: names.map((name) => ({
          type: "extra_forbidden",
          loc: ["body", name],
          msg: "Extra inputs are not permitted",
        })),
      },
      "422 Unprocessable Entity",
    ),
  "one at a time, 400": ([name]) =>
    jsonAnswer({ error: { message: `unknown parameter: ${name}`, type: "invalid_request_error" } }, "400 Bad Request"),
}

for (const [name, refusal] of Object.entries(REFUSALS)) {
  test(`what only we have added and a host refuses by name is left out, asked once more, and remembered: ${name}`, async (t) => {
    const unknown = name.startsWith("one") ? ["top_k"] : ["top_k", "min_p"]
    const local = localHost((request, socket) => {
      const sent = JSON.parse(request.body.toString())
      const odd = unknown.filter((one) => one in sent)
      socket.write(odd.length > 0 ? refusal(odd) : hello(request))
    })
    const rig = await startRig(t, { local, set: { localApi: "messages" } })
    const posts = () => rig.local?.requests.filter(({ method }) => method === "POST").length
    t.equal((await rig.chat()).status, 200)
    t.equal(posts(), 2, "asked once more")
    t.match(sentTo(rig.local, CHAT_PATH), { temperature: 0.3, top_p: 0.95 })
    t.equal((await rig.chat()).status, 200)
    t.equal(posts(), 3, "and remembered")
    const own = await rig.chat({ top_k: 5 })
    t.ok(own.status >= 400, "what the client has sent is refused")
    t.equal(posts(), 4)
  })
}

test("a refusal that names nothing of ours is asked once", async (t) => {
  const local = localHost(
    (_, socket) => void socket.write(jsonAnswer({ detail: "messages: top_knot is wrong" }, "422 Unprocessable Entity")),
  )
  const rig = await startRig(t, { local, set: { localApi: "messages" } })
  t.ok((await rig.chat()).status >= 400)
  t.equal(rig.local?.requests.filter(({ method }) => method === "POST").length, 1)
})
