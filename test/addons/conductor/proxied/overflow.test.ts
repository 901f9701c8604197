/**
 * A prompt that a local host finds too long, in every shape in which hosts say so; and that no failure of a local host is
 * an empty 200 to its client, streamed or not, kept alive before or not.
 */
import type { Socket } from "node:net"
import { test } from "tap"
import { ManualClock } from "../../../../lib/testing/manual-clock.ts"
import { CHAT_PATH, chatBody, localHost, message, startRig } from "../../../helpers/conductor-rig.ts"
import {
  answer,
  chunk,
  DONE,
  FINISH,
  jsonAnswer,
  LAST,
  SSE_HEAD,
  sseAnswer,
  textEvent,
  until,
} from "../../../helpers/hosts/proxy-host.ts"

const BAD = "400 Bad Request"
const FAILED = "500 Internal Server Error"
const VLLM = { type: "BadRequestError", param: null, code: 400 }
const flat = (text: string) => jsonAnswer({ object: "error", message: text, ...VLLM }, BAD)
const nested = (text: string, more: object = {}) => jsonAnswer({ error: { message: text, ...VLLM, ...more } }, BAD)
const inStream = (event: string) => sseAnswer(event)

/** The wire facts' table, row by row. */
const OVERFLOWS: Readonly<Record<string, Buffer>> = {
  "OpenAI, and llama-cpp-python": nested(
    "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens. Please reduce the length of the messages.",
    { type: "invalid_request_error", param: "messages", code: "context_length_exceeded" },
  ),
  "OpenAI, newer": nested(
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    {
      type: "invalid_request_error",
      code: "context_length_exceeded",
    },
  ),
  "llama.cpp of 2025": jsonAnswer(
    {
      error: {
        code: 400,
        message: "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
        type: "exceed_context_size_error",
        n_prompt_tokens: 9_000,
        n_ctx: 4_096,
      },
    },
    BAD,
  ),
  "llama.cpp of September 2025": jsonAnswer(
    {
      error: {
        code: 500,
        message:
          "the request exceeds the available context size. try increasing the context size or enable context shift",
        type: "server_error",
      },
    },
    FAILED,
  ),
  "llama.cpp inside a stream": inStream(
    'data: {"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error"}}\n\n',
  ),
  "llama.cpp, a field of its own": inStream(
    'error: {"code":400,"message":"the request exceeds the available context size, try increasing it","type":"invalid_request_error"}\n\n',
  ),
  "vLLM, flat": flat(
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion). Please reduce the length of the messages or completion.",
  ),
  "vLLM, nested": nested(
    "This model's maximum context length is 4096 tokens. However, you requested 0 output tokens and your prompt contains 5000 input tokens.",
    { param: "input_tokens" },
  ),
  "vLLM, the answer's limit": nested(
    "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context length is 4096 tokens and your request has 2778 input tokens (8000 > 4096 - 2778).",
  ),
  "vLLM, no room at all": flat("max_tokens must be at least 1, got -186."),
  "LM Studio, a string": jsonAnswer(
    {
      error:
        "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input",
    },
    BAD,
  ),
  "LM Studio, an event": inStream(
    'event: error\ndata: {"error":{"message":"Input does not fit in context length. The input has 31430 tokens, but the context length only supports 30000 tokens."},"message":"x"}\n\n',
  ),
  "LM Studio, MLX": jsonAnswer({ error: "Context size has been exceeded." }, BAD),
  "Ollama, when told not to cut": jsonAnswer(
    { error: "the prompt is longer than the context length currently available to the model; try a shorter one" },
    BAD,
  ),
  OpenRouter: nested(
    "This endpoint's maximum context length is 4096 tokens. However, you requested about 5000 tokens (4000 of text input, 1000 in the output). Please reduce the length of either one.",
  ),
  DeepSeek: nested(
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion). Please reduce the length of the messages or completion.",
    { type: "invalid_request_error", code: "invalid_request_error" },
  ),
  Anthropic: jsonAnswer(
    {
      type: "error",
      error: { type: "invalid_request_error", message: "prompt is too long: 5000 tokens > 4096 maximum" },
    },
    BAD,
  ),
  "Anthropic, with the answer": jsonAnswer(
    {
      type: "error",
      error: {
        type: "invalid_request_error",
        message:
          "input length and `max_tokens` exceed context limit: 4000 + 1000 > 4096, decrease input length or `max_tokens`",
      },
    },
    BAD,
  ),
}

test("an overflow in any shape is context_length_exceeded to the client, and SDKs are told not to ask again", async (t) => {
  let said = answer("")
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.write(said)) })
  for (const [name, bytes] of Object.entries(OVERFLOWS)) {
    said = bytes
    for (const stream of [true, false]) {
      const response = await rig.chat({ stream })
      t.equal(response.status, 400, `${name}, stream ${stream}`)
      t.equal(JSON.parse(response.text).error.code, "context_length_exceeded", name)
      t.equal(response.headers.get("x-should-retry"), "false", name)
    }
  }
  t.equal(rig.cloud.requests.length, 0)
})

test("an overflow does not make a host rest: it is asked again at once", async (t) => {
  const [said = answer("")] = Object.values(OVERFLOWS)
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.write(said)), cloud: () => {} })
  for (let times = 0; times < 2; times++) await rig.chat()
  t.equal(rig.local?.requests.filter(({ method }) => method === "POST").length, 2)
})

/** What is no answer, in the shapes that look most like one. */
const NOTHINGS: Readonly<Record<string, Buffer>> = {
  "a body of no bytes": answer(""),
  "an end mark": sseAnswer(DONE),
  "a role and an end": sseAnswer('data: {"choices":[{"index":0,"text":""}]}\n\n', textEvent("", "stop"), DONE),
  "comments alone": sseAnswer(": ping\n\n", ": ping\n\n"),
  "no choices": sseAnswer('data: {"choices":[]}\n\n', DONE),
  "white space": sseAnswer(textEvent(" \n"), FINISH, DONE),
  "an empty text": jsonAnswer({ choices: [{ index: 0, text: "", finish_reason: "stop" }] }),
  "a text of null": jsonAnswer({ choices: [{ index: 0, text: null, finish_reason: "stop" }] }),
  "no choices as JSON": jsonAnswer({ choices: [] }),
  "an object": jsonAnswer({}),
  null: jsonAnswer(null as never),
  "a page": answer("<html></html>", "Content-Type: text/html\r\n"),
  "an event of an error": sseAnswer('data: {"error":"out of memory"}\n\n', DONE),
}

test("no failure of a local host is an empty 200", async (t) => {
  let said = answer("")
  const rig = await startRig(t, {
    local: localHost((_, socket) => void socket.write(said)),
    set: { cooldownMs: 0 },
  })
  for (const [name, bytes] of Object.entries(NOTHINGS)) {
    said = bytes
    for (const stream of [true, false]) {
      const { status, text, headers } = await rig.chat({ stream })
      t.ok(status >= 400, `${name}, stream ${stream}: ${status}`)
      t.match(JSON.parse(text).error, { code: "local_host_failed", message: /^llmproxy: / }, name)
      t.equal(headers.get("x-should-retry"), "false")
    }
  }
})

test("nor is it one to a client that was kept alive: it reads an error, and no end mark", async (t) => {
  const clock = new ManualClock(Date.now())
  const asked: Socket[] = []
  const rig = await startRig(t, {
    clock,
    local: localHost((_, socket) => void asked.push(socket)),
    set: { cooldownMs: 0 },
  })
  for (const [name, bytes] of Object.entries(NOTHINGS)) {
    const before = asked.length
    const wire = await rig.door()
    wire.write(message("POST", CHAT_PATH, "localhost", chatBody({ stream: true })))
    await until(() => asked.length > before)
    clock.advance(5_000)
    await wire.until(": waiting")
    asked.at(-1)?.write(bytes)
    await wire.ended
    t.match(wire.all, /data: \{"error":\{"message":"llmproxy: /, name)
    t.notMatch(wire.all, /\[DONE\]/, name)
    t.notOk(wire.all.endsWith("0\r\n\r\n"), name)
  }
})

test("while a prompt is read nothing is sent for less than 15 seconds at a time", async (t) => {
  const clock = new ManualClock(Date.now())
  let asked: Socket | undefined
  const rig = await startRig(t, {
    clock,
    local: localHost((_, socket) => {
      asked = socket
    }),
  })
  const wire = await rig.door()
  wire.write(message("POST", CHAT_PATH, "localhost", chatBody({ stream: true })))
  await until(() => asked !== undefined)
  // GPT Pilot gives up after 300 seconds without a byte, the host's own limit here is 120.
  for (let said = 1; said <= 8; said++) {
    clock.advance(14_999)
    await until(() => wire.all.split(": waiting").length > said)
  }
  asked?.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(textEvent("Hi", "stop") + DONE), Buffer.from(LAST)]))
  t.match((await wire.response("POST")).text, /"Hi"/)
})
