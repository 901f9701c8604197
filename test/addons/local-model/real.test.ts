/**
 * The addon `local-model` with node-llama-cpp itself and a tiny model that the test writes: what the scripted library only
 * claims. Skipped where it is not installed: LLMPROXY_TEST_NODE_LLAMA_CPP names the folder that has it.
 */
import { type Test, test } from "tap"
import { loadAddon, type TestAddon } from "../../../lib/testing/load-addon.ts"
import { embeddedModel, NO_LIBRARY as skip } from "../../helpers/hosts/embedded-model.ts"
import { ask, chunksOf } from "./rig.ts"

async function start(t: Test): Promise<TestAddon> {
  const folder = t.testdir({})
  const addon = await loadAddon(new URL("../../../addons/local-model.ts", import.meta.url), {
    env: embeddedModel(folder),
    options: { folder },
  })
  t.teardown(() => addon.close())
  return addon
}

test("a real model answers by its file's name and as llama: the same for the same seed, counted exactly", {
  skip,
}, async (t) => {
  const addon = await start(t)
  const more = { max_tokens: 12, seed: 7, temperature: 1, frequency_penalty: 0.5, logit_bias: { "260": -100 } }
  const [one, other] = [await addon.request(ask("llama", more)), await addon.request(ask("embedded", more))]
  t.equal(one.status, 200, one.text)
  t.match(one.json(), {
    usage: { prompt_tokens: Number, completion_tokens: 12 },
    choices: [{ finish_reason: "length" }],
  })
  t.equal(one.completion?.text, other.completion?.text)
  const stream = await addon.request(ask("llama", { ...more, stream: true, stream_options: { include_usage: true } }))
  t.equal(stream.completion?.text, one.completion?.text)
  t.same(chunksOf(stream.text).at(-1)?.usage, (one.json() as { usage: unknown }).usage)
  const raw = await addon.request({ url: "/v1/completions", json: { model: "llama", prompt: "hello", max_tokens: 4 } })
  t.match(raw.json(), { object: "text_completion", usage: { completion_tokens: 4 } })
})

test("JSON is JSON, and what does not fit is refused with both numbers", { skip }, async (t) => {
  const addon = await start(t)
  const schema = { type: "object", properties: { yes: { type: "boolean" } }, required: ["yes"] }
  const format = { type: "json_schema", json_schema: { name: "answer", schema } }
  const { completion, text } = await addon.request(ask("llama", { response_format: format, max_tokens: 64 }))
  t.match(JSON.parse(completion?.text ?? text), { yes: Boolean })
  const messages = [{ role: "user", content: "word ".repeat(600) }]
  const long = await addon.request(ask("llama", { messages }))
  t.match(long.json(), { error: { code: "context_length_exceeded", message: /512 tokens/ } })
})

test("a client that leaves stops a real model; one that is killed is started again", { skip }, async (t) => {
  const addon = await start(t)
  const leaving = new AbortController()
  const left = await addon.request({
    ...ask("llama", { stream: true }),
    signal: leaving.signal,
    onPiece: () => leaving.abort(),
  })
  t.ok(left.broken)
  t.equal((await addon.request(ask("llama", { max_tokens: 2 }))).status, 200)
  const pid = Number(/process (\d+)/.exec(addon.log.lines.join("\n"))?.[1])
  let isKilled = false
  const killed = await addon.request({
    ...ask("llama", { stream: true }),
    onPiece: () => {
      if (!isKilled) process.kill(pid, "SIGKILL")
      isKilled = true
    },
  })
  t.equal(killed.status, 200)
  t.ok(killed.broken, "a cut, never a clean end")
  t.match(await addon.request(ask("llama")), { status: 503 })
  addon.clock.advance(1_000)
  t.equal((await addon.request(ask("llama", { max_tokens: 2 }))).status, 200)
})
