/** `GET /v1/models` at the proxy's own address. */
import { test } from "tap"
import { CLOUD, fieldOf, localHost, message, notExpected, startRig } from "../../../helpers/conductor-rig.ts"
import { jsonAnswer } from "../../../helpers/hosts/proxy-host.ts"
import { always } from "../../../helpers/test-proxy.ts"

const CLOUD_LIST = {
  object: "list",
  data: [{ id: "gpt-4o", object: "model", created: 1, owned_by: "system" }, { id: "other" }],
}
const CLOUD_MODELS = always(jsonAnswer(CLOUD_LIST).toString())
const KEY = "Authorization: Bearer sk-own\r\n"
const ids = (text: string) => JSON.parse(text).data.map(({ id }: { id: string }) => id)

test("the local host's models are listed, and the cloud's when a key is usable", async (t) => {
  const rig = await startRig(t, { local: localHost(notExpected), cloud: CLOUD_MODELS })
  const local = ["text-embedding-nomic-embed-text-v1.5", "deepseek-coder-6.7b", "other"]
  const alone = await rig.ask("GET", "/v1/models")
  t.equal(alone.status, 200)
  t.strictSame(ids(alone.text), local)
  t.equal(rig.cloud.requests.length, 0)
  const both = await rig.ask("GET", "/v1/models?x=1", undefined, `${KEY}Cookie: c=d\r\n`)
  t.strictSame(ids(both.text), [...local, "gpt-4o"], "each once")
  for (const model of JSON.parse(both.text).data)
    t.match(model, { id: String, object: "model", created: Number, owned_by: String })
  const [asked] = rig.cloud.requests
  t.equal(asked?.target, "/v1/models?x=1")
  t.equal(asked && fieldOf(asked, "authorization"), "Bearer sk-own")
  t.notMatch(rig.local?.requests.at(-1)?.head, /sk-own|cookie/i)
  t.match(both.headers.get("x-llmproxy-reason"), /^models: 3 local, the cloud's$/)
})

test("cloudKey asks for the cloud's list where the client has no key", async (t) => {
  const rig = await startRig(t, {
    local: localHost(notExpected),
    cloud: CLOUD_MODELS,
    env: { OPENAI_API_KEY: "sk-cloud" },
  })
  t.ok(ids((await rig.ask("GET", "/models")).text).includes("gpt-4o"))
  const [asked] = rig.cloud.requests
  t.equal(asked && fieldOf(asked, "authorization"), "Bearer sk-cloud")
})

test("one side that fails leaves the other's models", async (t) => {
  const cases = [
    [undefined, CLOUD_MODELS, ["gpt-4o", "other"]],
    [always("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), CLOUD_MODELS, ["gpt-4o", "other"]],
    [localHost(notExpected, { "/v1/models": "no JSON" }), CLOUD_MODELS, ["gpt-4o", "other"]],
    [localHost(notExpected, { "/v1/models": '{"data":[{"id":"a"}]}' }), notExpected, ["a"]],
  ] as const
  for (const [local, cloud, models] of cases) {
    const rig = await startRig(t, { ...(local === undefined ? {} : { local }), cloud })
    t.strictSame(ids((await rig.ask("GET", "/v1/models", undefined, KEY)).text), models)
  }
})

test("when nobody answers, the client hears why and what to do", async (t) => {
  const rig = await startRig(t)
  const response = await rig.ask("GET", "/v1/models")
  t.equal(response.status, 502)
  t.match(
    JSON.parse(response.text).error.message,
    /connection refused\), no key for the cloud\. Start the local host at http/,
  )
})

test("an intercepted question for models, or for one model, passes", async (t) => {
  const rig = await startRig(t, { local: notExpected, cloud: CLOUD_MODELS })
  const wire = await rig.through()
  wire.write(message("GET", "/v1/models", CLOUD, undefined, KEY))
  t.strictSame(JSON.parse((await wire.response()).text), CLOUD_LIST)
  t.equal((await rig.ask("GET", "/v1/models/gpt-4o", undefined, KEY)).status, 200)
  t.equal(rig.local?.requests.length, 0)
})
