/** Real clients and their parsers: GPT Pilot as it reads a stream line by line, and the openai package. */
import type { Socket } from "node:net"
import OpenAI from "openai"
import { test } from "tap"
import { ManualClock } from "../../../../lib/testing/manual-clock.ts"
import { CHAT_PATH, localHost, message, sentTo, startRig } from "../../../helpers/conductor-rig.ts"
import { answer, jsonAnswer, sseAnswer, textEvent, until } from "../../../helpers/hosts/proxy-host.ts"
import { always } from "../../../helpers/test-proxy.ts"

/** GPT Pilot 0.1.12's request: no max_tokens, no tools, the schema in the last message. */
function pilotRequest(content: string): object {
  const schema = '{\n    "plan": {\n        "type": "array"\n    }\n}'
  const json =
    "**IMPORTANT**\nYou must respond with ONLY the JSON object, with NO additional text or explanation.\n\n" +
    `Here is the schema for the expected JSON object:\n\`\`\`json\n${schema}\n\`\`\`\n\n`
  return {
    model: "gpt-4-turbo-preview",
    n: 1,
    temperature: 0.7,
    top_p: 1,
    presence_penalty: 0,
    frequency_penalty: 0,
    messages: [
      { role: "system", content: "You are a tech lead." },
      { role: "user", content },
      { role: "user", content: json },
    ],
    stream: true,
  }
}

/** Its parser: a line that is no `data: ` with JSON is skipped, `error` has to be an object, `delta` has to be there. */
function pilotReads(stream: string): string {
  let text = ""
  for (const line of stream.split("\n")) {
    if (!line.startsWith("data: ") || line === "data: [DONE]") continue
    const json = JSON.parse(line.slice(6))
    if ("error" in json) throw new Error(json.error.message)
    if (!json.choices?.length) continue
    const { delta } = json.choices[0]
    if (delta === undefined) throw new Error("no delta")
    text += delta.content ?? ""
  }
  return text
}

function rejected(work: () => unknown): string {
  try {
    return `no error: ${work()}`
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown)
  }
}

/** Without the sizes of its chunks. */
function unchunked(stream: string): string {
  return stream.replace(/\r\n[0-9a-f]*(\r\n)?/g, "")
}

const PLAN = '{"plan": [{"description": "Set up the project"}]}'

test("GPT Pilot reads a local answer, however the host frames its stream", async (t) => {
  let said = answer("")
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.write(said)) })
  const pieces = [PLAN.slice(0, 10), PLAN.slice(10), "\n<|EOT|>"].map((text) => textEvent(text))
  const frames = [
    sseAnswer(...pieces, "data: [DONE]\n\n"),
    sseAnswer(
      ": ping\n\n",
      ...[...pieces, "data: [DONE]\n\n"].map((event) => event.replace("data: ", "data:").replaceAll("\n", "\r\n")),
    ),
    sseAnswer(
      pieces.join(""),
      'data: {"choices":[]}\n\n',
      'data: {"choices":[{"index":0,"finish_reason":"stop"}]}\n\n',
    ),
    jsonAnswer({ choices: [{ index: 0, text: `${PLAN}\n<|EOT|>`, finish_reason: "stop" }] }),
  ]
  for (const [at, frame] of frames.entries()) {
    said = frame
    const response = await rig.ask(
      "POST",
      CHAT_PATH,
      pilotRequest("Plan it."),
      'Authorization: Bearer :"not-needed"\r\n',
    )
    t.equal(response.status, 200)
    t.equal(pilotReads(response.text), PLAN, `frame ${at}`)
    t.ok(response.text.endsWith("data: [DONE]\n\n"))
  }
  const prompt = String(sentTo(rig.local, "/v1/completions")?.prompt)
  t.ok(prompt.startsWith("You are a tech lead.\n### Instruction:\nPlan it.\n### Instruction:\n**IMPORTANT**"))
})

/** What it makes of an error's message: a shorter request, a wait of so many seconds, or a question to its user. */
function pilotMeaning(message: string): string {
  if (/context_length_exceeded|Request too large/.test(message))
    return `shorten from ${/your messages resulted in (\d+) tokens/.exec(message)?.[1] ?? "?"}`
  if (!/rate_limit_exceeded|rate_limit_error|overloaded_error/.test(message)) return "ask the user"
  return `wait ${/Please try again in (\d+\.\d+)s\./.exec(message)?.[1] ?? "?"}`
}

test("GPT Pilot shortens or waits, and asks nobody, before the first keep-alive and after it", async (t) => {
  const overflow = {
    message: "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    type: "exceed_context_size_error",
    code: 400,
    n_prompt_tokens: 9_000,
    n_ctx: 4_096,
  }
  const loading = { code: 503, message: "Loading model", type: "unavailable_error" }
  for (const [name, bytes, meaning] of [
    ["an overflow that tells its numbers", jsonAnswer({ error: overflow }, "400 Bad Request"), "shorten from 9000"],
    [
      "one that does not",
      jsonAnswer({ error: "the input length exceeds the context length" }, "400 Bad Request"),
      "shorten from ?",
    ],
    ["one inside the stream", sseAnswer(`data: ${JSON.stringify({ error: overflow })}\n\n`), "shorten from 9000"],
    ["a model that is loading", jsonAnswer({ error: loading }, "503 Service Unavailable"), "wait 10.000"],
    ["a host that broke", jsonAnswer({ error: "boom" }, "500 Internal Server Error"), "ask the user"],
  ] as const) {
    for (const isKept of [false, true]) {
      const clock = new ManualClock(Date.now())
      let asked: Socket | undefined
      const local = localHost((_, socket) => {
        asked = socket
      })
      const rig = await startRig(t, { clock, local })
      const wire = await rig.door()
      wire.write(message("POST", CHAT_PATH, "localhost", pilotRequest("Plan it.")))
      await until(() => asked !== undefined)
      if (isKept) {
        clock.advance(5_000)
        await wire.until(": waiting")
      }
      asked?.write(bytes)
      const said = isKept ? await wire.ended.then(() => wire.all) : (await wire.response("POST")).text
      const stream = said.slice(said.indexOf("data: "))
      const heard = isKept ? rejected(() => pilotReads(unchunked(stream))) : said
      t.equal(pilotMeaning(heard), meaning, `${name}, kept alive: ${isKept}`)
      t.notMatch(heard, "llmproxy: llmproxy:")
    }
  }
})

test("GPT Pilot finds the words that it looks for when a request is too large", async (t) => {
  const rig = await startRig(t, { local: localHost(() => {}) })
  const response = await rig.ask("POST", CHAT_PATH, pilotRequest("word ".repeat(8_000)))
  t.equal(response.status, 400)
  t.match(response.text, /context_length_exceeded/)
  t.match(response.text, /your messages resulted in (\d+) tokens/)
})

test("the openai package reads local answers, streamed and whole, and errors", async (t) => {
  const rig = await startRig(t, {
    local: localHost(({ body }, socket) => {
      const stream = JSON.parse(body.toString()).stream === true
      const whole = { model: "deepseek", choices: [{ index: 0, text: "Hello", finish_reason: "stop" }] }
      socket.write(
        stream ? sseAnswer(textEvent("Hel"), textEvent("lo", "stop"), "data: [DONE]\n\n") : jsonAnswer(whole),
      )
    }),
    cloud: always("HTTP/1.1 500 Not Expected\r\nContent-Length: 0\r\n\r\n"),
  })
  const client = new OpenAI({ baseURL: `http://127.0.0.1:${rig.port}/v1`, apiKey: "not-needed", maxRetries: 0 })
  const messages = [{ role: "user" as const, content: "Say hello." }]
  const whole = await client.chat.completions.create({ model: "gpt-4o", messages })
  t.equal(whole.choices[0]?.message.content, "Hello")
  t.ok((whole.usage?.total_tokens ?? 0) > 0)
  let text = ""
  const stream = await client.chat.completions.create({ model: "gpt-4o", messages, stream: true })
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ""
  t.equal(text, "Hello")
  const large = [{ role: "user" as const, content: "word ".repeat(8_000) }]
  const failed = client.chat.completions.create({ model: "gpt-4o", messages: large })
  await t.rejects(failed, { status: 400, code: "context_length_exceeded" })
  const models = await client.models.list()
  t.ok(models.data.some(({ id }) => id === "deepseek-coder-6.7b"))
})
