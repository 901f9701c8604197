import { type Test, test } from "tap"
import type { Usage } from "../../lib/api/flow.ts"
import { CHAT_PATH, CLOUD, chatBody, flowWatcher, message, startRig } from "../helpers/conductor-rig.ts"
import { origin } from "../helpers/hosts/proxy-host.ts"

function event(choices: readonly object[], more: object = {}): string {
  return `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model: "m", choices, ...more })}\n\n`
}

const PIECES = [
  event([{ index: 0, delta: { role: "assistant", content: "" } }], { usage: null, obfuscation: "x1" }),
  event([{ index: 0, delta: { content: "Hi" }, logprobs: null, finish_reason: null }], { usage: null }),
  event([{ index: 0, delta: {}, finish_reason: "stop" }], { usage: null }),
]
const USAGE = event([], {
  usage: {
    prompt_tokens: 9,
    completion_tokens: 4,
    total_tokens: 13,
    prompt_tokens_details: { cached_tokens: 5 },
    completion_tokens_details: { reasoning_tokens: 2 },
  },
})
/** The pieces of a host that was not asked. */
const UNASKED = PIECES.map((piece) => piece.replace(',"usage":null', ""))
const DONE = "data: [DONE]\n\n"

interface Case {
  inject?: boolean
  hosts?: string
  body?: object
  pieces?: string[]
  /** Content-Type; default: that of events. */
  label?: string
  /** What is written in place of an event. */
  framed?: (event: string) => string
}

/** Sends a chat through; what left for the host, what the client got, what whoever looks on saw. */
async function ask(t: Test, { inject = true, hosts, body = {}, pieces = PIECES, label, framed = (one) => one }: Case) {
  const watcher = flowWatcher()
  const rig = await startRig(t, {
    scripts: ["addons/usage.ts"],
    builtin: [{ ...watcher.addon, reads: "llm" }],
    env: {
      ...(inject ? { LLMPROXY_USAGE_INJECT: "true" } : {}),
      ...(hosts === undefined ? {} : { LLMPROXY_USAGE_HOSTS: hosts }),
    },
    cloud: (request, socket) => {
      const asked = request.body.includes('"include_usage":true')
      const text = [...pieces, ...(asked ? [USAGE] : []), DONE].map(framed).join("")
      socket.write(
        `HTTP/1.1 200 OK\r\nContent-Type: ${label ?? "text/event-stream"}\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
      )
    },
  })
  const wire = await rig.through()
  const sent = JSON.stringify(chatBody({ stream: true, ...body }))
  wire.write(message("POST", CHAT_PATH, CLOUD, sent))
  const response = await wire.response()
  await rig.app.stop()
  const usage: Usage | undefined = watcher.flows[0]?.llm?.completion?.usage
  return { sent, left: rig.cloud.requests[0]?.body.toString("utf8") ?? "", got: response.body.toString("utf8"), usage }
}

test("usage is asked for, and the client gets every byte but the chunk that brings it", async (t) => {
  const { sent, left, got, usage } = await ask(t, {})
  t.equal(left, `${sent.slice(0, -1)},"stream_options":{"include_usage":true}}`, "nothing else of the body is changed")
  t.equal(got, [...UNASKED, DONE].join(""), "as from a host that was not asked: without `usage: null`")
  t.match(usage, {
    inputTokens: 9,
    outputTokens: 4,
    totalTokens: 13,
    cachedTokens: 5,
    reasoningTokens: 2,
    source: "provider",
  })
})

test("other options of a stream stay, and a client that says no gets none", async (t) => {
  const { left, got } = await ask(t, { body: { stream_options: { include_obfuscation: false, include_usage: false } } })
  t.match(JSON.parse(left), { stream_options: { include_obfuscation: false, include_usage: true } })
  t.equal(got, [...UNASKED, DONE].join(""))
})

test("so it is for JSON lines and for events under any label", async (t) => {
  const line = (one: string) => (one === DONE ? "" : one.replace("data: ", "").replace("\n\n", "\r\n"))
  for (const label of ["text/event-stream", "application/json", "application/x-ndjson", "text/plain"])
    for (const framed of [line, (one: string) => one]) {
      const { got, usage } = await ask(t, { label, framed })
      t.equal(got, [...UNASKED, DONE].map(framed).join(""), label)
      t.match(usage, { inputTokens: 9, outputTokens: 4, source: "provider" }, label)
    }
})

test("usage that comes unasked, beside the last choice, stays", async (t) => {
  const last = event([{ index: 0, delta: {}, finish_reason: "stop" }], {
    usage: { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 },
  })
  const { got, usage } = await ask(t, { pieces: [...PIECES.slice(0, 2), last] })
  t.equal(got, [...UNASKED.slice(0, 2), last, DONE].join(""))
  t.match(usage, { inputTokens: 9, outputTokens: 4 })
})

test("a client that asks for usage gets it, byte for byte", async (t) => {
  const { sent, left, got, usage } = await ask(t, { body: { stream_options: { include_usage: true } } })
  t.equal(left, sent)
  t.equal(got, [...PIECES, USAGE, DONE].join(""))
  t.match(usage, { inputTokens: 9, source: "provider" })
})

test("nothing is touched unless it is asked for, on a known host, in a stream", async (t) => {
  const cases: Case[] = [{ inject: false }, { hosts: "elsewhere.example" }, { body: { stream: false } }]
  for (const one of cases) {
    const { sent, left, got } = await ask(t, one)
    t.equal(left, sent, JSON.stringify(one))
    t.equal(got, [...PIECES, DONE].join(""), JSON.stringify(one))
  }
})

// As DeepSeek's documents have a stream ("Create Chat Completion"), with everything made up: the first chunk has `usage: null`
// unasked, the others have no such member, and the last choice comes with the usage.
const TOLD = { completion_tokens: 9, prompt_tokens: 17, total_tokens: 26, prompt_cache_hit_tokens: 16 }
const deepseekEvent = (delta: object, finish: string | null, more: object = {}): string =>
  event([{ delta, finish_reason: finish, index: 0, logprobs: null }], { system_fingerprint: "fp_made_up", ...more })
const DEEPSEEK = [
  deepseekEvent({ content: "", role: "assistant" }, null, { usage: null }),
  deepseekEvent({ content: "Hello", role: "assistant" }, null),
  deepseekEvent({ content: "", role: null }, "stop", { usage: TOLD }),
]

test("DeepSeek's `usage: null` comes unasked and stays; a host that only ends in its name is another", async (t) => {
  for (const [name, kept] of [
    ["api.deepseek.com", DEEPSEEK],
    ["notdeepseek.com", DEEPSEEK.map((piece) => piece.replace(',"usage":null', ""))],
  ] as const) {
    const asked: string[] = []
    const up = await origin(
      t,
      ({ body }, socket) => {
        asked.push(body.toString("utf8"))
        const text = [...DEEPSEEK, USAGE, DONE].join("")
        socket.write(
          `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
        )
      },
      name,
    )
    const rig = await startRig(t, {
      scripts: ["addons/usage.ts"],
      env: { LLMPROXY_USAGE_INJECT: "true", LLMPROXY_USAGE_HOSTS: name },
      flags: { connectTo: [`${name}:443:127.0.0.1:${up.port}`] },
    })
    const wire = await rig.through(name)
    wire.write(message("POST", CHAT_PATH, name, chatBody({ stream: true })))
    const response = await wire.response()
    t.match(asked[0], '"include_usage":true')
    t.equal(response.body.toString("utf8"), [...kept, DONE].join(""), name)
  }
})
