/** Where the conductor sends requests, what each side gets, and what the client is told of it. */
import { test } from "tap"
import {
  CHAT_PATH,
  CLOUD,
  chatBody,
  localHost,
  message,
  notExpected,
  sentTo,
  startRig,
} from "../helpers/conductor-rig.ts"
import { chatJson, DONE, eventsOf, jsonAnswer, sseAnswer, textEvent } from "../helpers/proxy-host.ts"
import { always } from "../helpers/test-proxy.ts"

const COMPLETION = {
  id: "cmpl-1",
  object: "text_completion",
  created: 7,
  model: "deepseek-coder-6.7b",
  choices: [{ index: 0, text: "Hello there.\n<|EOT|>", finish_reason: "stop", logprobs: null }],
}
const LOCAL_TEXT = localHost((_, socket) => void socket.write(jsonAnswer(COMPLETION)))
const CLOUD_TEXT = always(jsonAnswer(chatJson("from the cloud")).toString())
const KEY = "Authorization: Bearer sk-own\r\n"
const LARGE = { messages: [{ role: "user", content: "word ".repeat(6_000) }] }

test("a small request goes to the local host, by the base URL and by interception", async (t) => {
  const rig = await startRig(t, { local: LOCAL_TEXT })
  const byDoor = await rig.chat()
  const wire = await rig.through()
  wire.write(message("POST", CHAT_PATH, CLOUD, chatBody(), KEY))
  for (const response of [byDoor, await wire.response("POST")]) {
    t.equal(response.status, 200)
    t.equal(response.headers.get("x-llmproxy-route"), "local")
    t.match(response.headers.get("x-llmproxy-reason"), /^needs \d+ of 8192 tokens$/)
    t.match(response.headers.get("x-llmproxy-tokens"), /^\d+$/)
    const json = JSON.parse(response.text)
    t.equal(json.object, "chat.completion")
    t.equal(json.model, "deepseek-coder-6.7b")
    t.equal(json.choices[0].message.content, "Hello there.")
    t.equal(json.choices[0].finish_reason, "stop")
    t.equal(
      json.usage.prompt_tokens,
      Number(response.headers.get("x-llmproxy-tokens")),
      "counted, as the host gave none",
    )
    t.ok(json.usage.completion_tokens > 0)
  }
  t.equal(rig.cloud.requests.length, 0)
})

test("a large request goes to the cloud byte for byte as it came", async (t) => {
  const rig = await startRig(t, { local: notExpected, cloud: CLOUD_TEXT })
  const wire = await rig.through()
  const fields = `${KEY}x-odd:   spaced\r\nAccept: */*\r\nOpenAI-Organization: org-1\r\n`
  const body = `{ "messages": [ {"content":${JSON.stringify("word ".repeat(6_000))}, "role":"user"} ],\n "model":"gpt-4" }`
  const sent = message("POST", CHAT_PATH, CLOUD, body, fields)
  wire.write(sent)
  const response = await wire.response("POST")
  t.equal(response.headers.get("x-llmproxy-route"), "cloud")
  t.match(response.headers.get("x-llmproxy-reason"), /^needs \d+ tokens, the local host takes less than 8192$/)
  t.equal(JSON.parse(response.text).choices[0].message.content, "from the cloud")
  const [got] = rig.cloud.requests
  t.equal(`${got?.head}\r\n\r\n${got?.body.toString()}`, sent.toString())
  t.equal(rig.local?.requests.length, 0)
})

test("a streaming client gets the local answer as chat chunks", async (t) => {
  const events = ["Hel", "lo", "\n<|EO", "T|>"].map((text) => textEvent(text))
  const rig = await startRig(t, {
    local: localHost((_, socket) => void socket.write(sseAnswer(...events, textEvent("", "stop"), DONE))),
  })
  const response = await rig.chat({ stream: true, stream_options: { include_usage: true } })
  t.equal(response.headers.get("content-type"), "text/event-stream")
  const chunks = eventsOf(response.text) as {
    model: string
    choices: { delta: { content?: string } }[]
    usage?: object
  }[]
  t.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join(""), "Hello")
  t.ok(chunks.every(({ model }) => model === "up"))
  t.match(chunks.at(-1)?.usage, { completion_tokens: Number })
  t.ok(response.text.endsWith("data: [DONE]\n\n"))
})

test("a refused connection goes to the cloud, and says so", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD_TEXT })
  const response = await rig.chat({}, KEY)
  t.equal(response.headers.get("x-llmproxy-route"), "cloud")
  t.equal(response.headers.get("x-llmproxy-reason"), "local host failed before the first token: connection refused")
  t.strictSame(sentTo(rig.cloud, CHAT_PATH), chatBody())
})

test("over the threshold without a key the client gets context_length_exceeded with the counts", async (t) => {
  const rig = await startRig(t, { local: notExpected })
  const response = await rig.chat(LARGE, "Authorization: Bearer not-needed\r\n")
  t.equal(response.status, 400)
  const { error } = JSON.parse(response.text)
  t.equal(error.code, "context_length_exceeded")
  t.match(error.message, /maximum context length is 8192 tokens/)
  t.match(error.message, new RegExp(`your messages resulted in ${response.headers.get("x-llmproxy-tokens")} tokens`))
  t.match(error.message, /set OPENAI_API_KEY/)
  t.equal(rig.cloud.requests.length, 0, "no prompt leaves the machine")
})
