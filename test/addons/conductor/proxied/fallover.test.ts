/** What goes to the cloud because the local host failed, in every shape in which hosts fail, and what does not. */
import type { Socket } from "node:net"
import { test } from "tap"
import type { OriginRequest } from "../../../../lib/testing/origin.ts"
import { CHAT_PATH, CLOUD, chatBody, localHost, message, sentTo, startRig } from "../../../helpers/conductor-rig.ts"
import {
  answer,
  chatEvent,
  chatJson,
  chunk,
  DONE,
  FINISH,
  jsonAnswer,
  SSE_HEAD,
  sseAnswer,
  textEvent,
} from "../../../helpers/hosts/proxy-host.ts"
import { always } from "../../../helpers/test-proxy.ts"

const KEY = "Authorization: Bearer sk-own\r\n"
const CLOUD_STREAM = chatEvent("from the cloud") + FINISH + DONE

/** A stream to those who ask for one, else JSON. */
function cloudAnswer({ body }: OriginRequest, socket: Socket): void {
  const stream = JSON.parse(body.toString()).stream === true
  socket.write(stream ? sseAnswer(CLOUD_STREAM) : jsonAnswer(chatJson("from the cloud")))
}

const html = (status: string) =>
  answer("<html><head><title>502 Bad Gateway</title></head></html>", "Content-Type: text/html\r\n", status)
const role = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
const overflow =
  "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough."

/** What a host says, in which form of request, and what the reason is to be. */
const FAILURES: readonly (readonly [name: string, said: Buffer | "reset" | "close", reason: RegExp])[] = [
  [
    "LM Studio: overflow, string error",
    jsonAnswer({ error: overflow }, "400 Bad Request"),
    /status 400: Trying to keep/,
  ],
  [
    "LM Studio: model not loaded",
    jsonAnswer({ error: "Model with key 'x' not loaded." }, "500 Internal Server Error"),
    /status 500: Model with key 'x' not loaded/,
  ],
  [
    "LM Studio: wrong path, 200",
    jsonAnswer({ error: "Unexpected endpoint or method. (POST /v1). Returning 200 anyway" }),
    /error: Unexpected endpoint/,
  ],
  [
    "LM Studio: overflow inside the stream",
    sseAnswer('event: error\ndata: {"error":{"message":"Input does not fit in context length."},"message":"x"}\n\n'),
    /error: Input does not fit/,
  ],
  ["LM Studio: 200 and no delta", sseAnswer(role, FINISH, DONE), /empty answer/],
  [
    "llama.cpp: loading",
    jsonAnswer(
      { error: { code: 503, message: "Loading model", type: "unavailable_error" } },
      "503 Service Unavailable",
    ),
    /status 503: Loading model/,
  ],
  [
    "llama.cpp: overflow",
    jsonAnswer(
      {
        error: {
          code: 400,
          message: "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
          type: "exceed_context_size_error",
          n_prompt_tokens: 9000,
          n_ctx: 4096,
        },
      },
      "400 Bad Request",
    ),
    /status 400: request \(9000 tokens\)/,
  ],
  [
    "llama.cpp: an error field in the stream",
    sseAnswer('error: {"code":500,"message":"slot unavailable","type":"server_error"}\n\n'),
    /error: slot unavailable/,
  ],
  [
    "vLLM: flat error",
    jsonAnswer(
      { object: "error", message: "max_tokens must be at least 1, got -186.", type: "BadRequestError", code: 400 },
      "400 Bad Request",
    ),
    /status 400: max_tokens must be/,
  ],
  [
    "Ollama: unknown model",
    jsonAnswer(
      { error: { message: 'model "x" not found', type: "not_found_error", param: null, code: null } },
      "404 Not Found",
    ),
    /status 404: model "x" not found/,
  ],
  ["a string error in the stream", sseAnswer('data: {"error":"out of memory"}\n\n'), /error: out of memory/],
  ["an error after the role", sseAnswer(role, 'data: {"error":{"message":"boom","code":500}}\n\n'), /error: boom/],
  ["an empty 200", answer(""), /empty answer/],
  ["an empty stream", sseAnswer(DONE), /empty answer/],
  ["nothing but white space", sseAnswer(textEvent("\n \n"), textEvent("", "stop"), DONE), /empty answer/],
  ["nothing but the end of a turn", sseAnswer(textEvent("\n<|EOT|>", "stop"), DONE), /empty answer/],
  ["an empty text as JSON", jsonAnswer({ choices: [{ index: 0, text: "", finish_reason: "stop" }] }), /empty answer/],
  ["a gateway's page", html("502 Bad Gateway"), /status 502: 502 Bad Gateway/],
  ["a page with 200", html("200 OK"), /error: the answer is no openai-completions answer/],
  ["a redirect", answer("", "Location: /login\r\n", "302 Found"), /empty answer/],
  ["a stream that is cut before its first word", Buffer.concat([Buffer.from(SSE_HEAD), chunk(role)]), /broke off/],
  ["a connection that is closed", "close", /./],
  ["a connection that is reset", "reset", /./],
]

test("a local host that fails before the first delta is the cloud's turn, and that is said", async (t) => {
  let said: Buffer | "reset" | "close" = "close"
  const rig = await startRig(t, {
    local: localHost((_, socket) => {
      if (said === "reset") socket.resetAndDestroy()
      else if (said === "close") socket.destroy()
      else if (said.includes("chunked") && !said.includes("\r\n0\r\n\r\n")) socket.write(said, () => socket.destroy())
      else socket.write(said)
    }),
    cloud: cloudAnswer,
    set: { cooldownMs: 0 },
  })
  for (const stream of [true, false]) {
    for (const [name, bytes, reason] of FAILURES) {
      said = bytes
      const response = await rig.chat({ stream }, KEY)
      const label = `${name}, stream ${stream}`
      t.equal(response.status, 200, label)
      t.equal(response.headers.get("x-llmproxy-route"), "cloud", label)
      t.match(response.headers.get("x-llmproxy-reason"), /^local host failed before the first token: /, label)
      t.match(response.headers.get("x-llmproxy-reason"), reason, label)
      if (stream) t.equal(response.text, CLOUD_STREAM, label)
      else t.match(JSON.parse(response.text), chatJson("from the cloud"), label)
      t.strictSame(sentTo(rig.cloud, CHAT_PATH), chatBody({ stream }), label)
    }
  }
  t.ok(rig.lines.some((line) => /warn .*local host failed before the first token/.test(line)))
})

test("without a cloud the client gets the failure in its dialect, and what to do", async (t) => {
  let said = answer("")
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.write(said)) })
  const cases: [Buffer, number, string][] = [
    [jsonAnswer({ error: overflow }, "500 Internal Server Error"), 400, "context_length_exceeded"],
    [answer(""), 502, "local_host_failed"],
  ]
  for (const [bytes, status, code] of cases) {
    said = bytes
    const response = await rig.chat({ stream: true })
    t.equal(response.status, status)
    const { error } = JSON.parse(response.text)
    t.match(error, { code, message: /^llmproxy: http:\/\/127.0.0.1:\d+: local host failed before the first token: / })
    t.match(error.message, /set OPENAI_API_KEY/)
    t.equal(response.headers.get("x-llmproxy-route"), "local")
    t.equal(response.headers.get("x-should-retry"), "false", "it was tried everywhere")
  }
  said = jsonAnswer({ error: "Loading model" }, "503 Service Unavailable")
  const loading = await rig.chat()
  t.equal(loading.status, 429)
  t.equal(loading.headers.get("retry-after"), "10")
  t.match(JSON.parse(loading.text).error, {
    code: "rate_limit_exceeded",
    message: /Loading model; no key|Loading model.*Please try again in 10\.000s\./,
  })
  t.equal(rig.cloud.requests.length, 0)
})

test("the first delta decides: what breaks after it is cut, and nobody else is asked", async (t) => {
  const first = Buffer.concat([Buffer.from(SSE_HEAD), chunk(textEvent("Hello"))])
  let then: (socket: Socket) => void = () => {}
  const rig = await startRig(t, {
    local: localHost((_, socket) => void socket.write(first, () => then(socket))),
    cloud: cloudAnswer,
  })
  const failures: [(socket: Socket) => void, RegExp][] = [
    [(socket) => socket.destroy(), /Hello/],
    [(socket) => socket.write(chunk('data: {"error":"out of memory"}\n\n')), /"error":\{"message":"out of memory"/],
  ]
  for (const [fail, seen] of failures) {
    let proceed: () => void = () => {}
    then = (socket) => {
      proceed = () => fail(socket)
    }
    const wire = await rig.through()
    wire.write(message("POST", CHAT_PATH, CLOUD, chatBody({ stream: true }), KEY))
    await wire.until("Hello")
    proceed()
    await wire.ended
    t.match(wire.all, seen)
    t.notMatch(wire.all, /\[DONE\]/)
    t.notOk(wire.all.endsWith("0\r\n\r\n"), "never a clean end")
  }
  t.equal(rig.cloud.requests.length, 0)
})

test("a host that ends its stream by closing has to say that the answer is whole", async (t) => {
  let said = ""
  const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
  const rig = await startRig(t, { local: localHost((_, socket) => void socket.end(head + said)) })
  for (const whole of [textEvent("Hello") + DONE, textEvent("Hello", "stop")]) {
    said = whole
    t.ok((await rig.chat({ stream: true })).text.endsWith(DONE))
  }
  said = textEvent("Hel")
  const wire = await rig.door()
  wire.write(message("POST", CHAT_PATH, "localhost", chatBody({ stream: true })))
  await wire.ended
  t.match(wire.all, /Hel/)
  t.notMatch(wire.all, /\[DONE\]|"finish_reason":"/)
  t.notOk(wire.all.endsWith("0\r\n\r\n"))
})

test("a model that is gone is looked up again, and asked once more under its new name", async (t) => {
  let present = "first"
  const rig = await startRig(t, {
    local: (request, socket) => {
      if (request.target === "/v1/models") return void socket.write(jsonAnswer({ data: [{ id: present }] }))
      if (request.method === "GET") return void socket.write(answer("", "", "404 Not Found"))
      const { model } = JSON.parse(request.body.toString())
      const gone = { error: { message: `model '${model}' not found`, code: "model_not_found" } }
      if (model !== present) return void socket.write(jsonAnswer(gone, "404 Not Found"))
      socket.write(jsonAnswer({ model, choices: [{ index: 0, text: "ok", finish_reason: "stop" }] }))
    },
    cloud: cloudAnswer,
  })
  t.equal(JSON.parse((await rig.chat({}, KEY)).text).model, "first")
  await rig.chat({}, KEY)
  const asks = () => rig.local?.requests.filter(({ target }) => target === "/v1/models").length
  t.equal(asks(), 1, "the list is remembered")
  present = "second"
  t.equal(JSON.parse((await rig.chat({}, KEY)).text).model, "second")
  t.equal(asks(), 2)
  t.equal(rig.cloud.requests.length, 0)
})

test("a refused connection is told, and the host is asked again when it is there", async (t) => {
  const rig = await startRig(t, { cloud: cloudAnswer })
  const response = await rig.chat({}, KEY)
  t.equal(response.headers.get("x-llmproxy-reason"), "local host failed before the first token: connection refused")
  t.strictSame(sentTo(rig.cloud, CHAT_PATH), chatBody())
})

test("the proxy itself is no local host", async (t) => {
  const rig = await startRig(t, { cloud: always(jsonAnswer(chatJson("x")).toString()) })
  const set = [`conductor.localUrl=http://127.0.0.1:${rig.port}`]
  rig.app.store.update({ set, flags: {}, env: {}, envFile: undefined, config: undefined })
  const response = await rig.chat({}, KEY)
  t.match(response.headers.get("x-llmproxy-reason"), /first token: loop$/)
})
