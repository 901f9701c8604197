/** The conductor before hosts that answer with what running ones answered: what they are, have and say. */
import tap from "tap"
import { parseJson } from "../../../../lib/base/json.ts"
import { dialectNamed } from "../../../../lib/llm/index.ts"
import type { DialectName } from "../../../../lib/llm/model.ts"
import { ManualClock } from "../../../../lib/testing/manual-clock.ts"
import type { ReplyScript } from "../../../../lib/testing/origin.ts"
import { type Rig, startRig } from "../../../helpers/conductor-rig.ts"
import { chatJson, eventsOf, jsonAnswer } from "../../../helpers/hosts/proxy-host.ts"
import {
  type RecordedHost,
  recorded,
  recordedBytes,
  recordingFor,
  replayed,
} from "../../../helpers/hosts/recorded-hosts.ts"
import { assembled, decodeAll } from "../../../helpers/llm/dialect-fixtures.ts"
import { always } from "../../../helpers/test-proxy.ts"
import type { WireResponse } from "../../../helpers/wire/wire.ts"

interface Expected {
  readonly host: RecordedHost
  /** The model that is asked, and how it is named in the options where the host's first is another. */
  readonly model: string
  readonly set?: Record<string, string>
  /** Of the window; undefined where the host does not tell it. */
  readonly window: number | undefined
  /** What the pages are that it takes to know the host: the list first. */
  readonly pages: readonly string[]
  /** Where messages go, and in which dialect they are answered. */
  readonly messages: readonly [path: string, dialect: DialectName]
  readonly raw: readonly [path: string, dialect: DialectName]
  /** Whose count decides. */
  readonly counts: string | undefined
  /** Whether it says that a prompt is too long. */
  readonly refuses: boolean
}

const HOSTS: readonly Expected[] = [
  {
    host: "llama.cpp-b11669",
    model: "models/gemma-3-270m-q4_k_m.gguf",
    window: 1_024,
    pages: ["/v1/models", "/props"],
    messages: ["/v1/chat/completions", "openai-chat"],
    raw: ["/v1/completions", "openai-completions"],
    counts: "llama.cpp",
    refuses: true,
  },
  {
    host: "ollama-0.17.4",
    model: "tiny:latest",
    window: 1_024,
    pages: ["/v1/models", "/api/version", "/api/ps"],
    messages: ["/api/chat", "ollama"],
    raw: ["/api/generate", "ollama"],
    counts: undefined,
    refuses: true,
  },
  {
    host: "vllm-0.32.0",
    model: "deepseek-coder-6.7b-instruct",
    window: 1_024,
    pages: ["/v1/models"],
    messages: ["/v1/chat/completions", "openai-chat"],
    raw: ["/v1/completions", "openai-completions"],
    counts: "vLLM",
    refuses: true,
  },
  {
    // Its list was an error of its own when it was recorded: nothing is known of it but how to ask.
    host: "transformers-serve",
    model: "models/tiny@main",
    set: { localModel: "models/tiny@main" },
    window: undefined,
    pages: ["/v1/models", "/api/version", "/api/v0/models", "/props", "/version"],
    messages: ["/v1/chat/completions", "openai-chat"],
    raw: ["/v1/completions", "openai-completions"],
    counts: undefined,
    refuses: false,
  },
]

const LLAMACPP = ["/completion", "llamacpp"] as const

const KEY = "Authorization: Bearer sk-own\r\n"
const CLOUD = always(jsonAnswer(chatJson("from the cloud")).toString())

/** What the recording says, by the dialect that it is in. */
function saidBy(host: RecordedHost, name: string, dialect: DialectName): string | undefined {
  const { body, contentType } = recorded(host, name)
  if (!/event-stream|ndjson/.test(contentType))
    return dialectNamed(dialect).parseAnswer(parseJson(body.toString("utf8")) ?? null)?.completion?.text
  return assembled(decodeAll(dialectNamed(dialect), body)).finish(false).text
}

function textOf(response: WireResponse, stream: boolean): string {
  const text = Buffer.from(response.text, "latin1").toString("utf8")
  if (!stream) return JSON.parse(text).choices[0].message.content
  const events = eventsOf(text) as { choices: { delta: { content?: string } }[] }[]
  return events.map(({ choices }) => choices[0]?.delta.content ?? "").join("")
}

const asked = (rig: Rig, path: string) => rig.local?.requests.filter(({ target }) => target === path) ?? []

for (const { host, model, set = {}, window, pages, messages, raw, counts, refuses } of HOSTS) {
  for (const [form, localApi, [path, dialect]] of [
    ["messages", "messages", messages],
    ["raw prompts", "completions", raw],
    ...(host === "llama.cpp-b11669" ? [["prompts of its own API", "llamacpp", LLAMACPP] as const] : []),
  ] as const)
    tap.test(`${host}: ${form} are asked for where they belong, and what was recorded arrives`, async (t) => {
      const rig = await startRig(t, { local: replayed(host), set: { localApi, ...set } })
      for (const stream of [true, false]) {
        const response = await rig.chat({ stream })
        t.equal(response.status, 200)
        t.equal(response.headers.get("x-llmproxy-route"), "local")
        const [request] = asked(rig, path).slice(-1)
        t.ok(request, `asked at ${path}`)
        if (request === undefined) return
        if (localApi !== "llamacpp") t.equal(JSON.parse(request.body.toString()).model, model)
        const said = saidBy(host, recordingFor(host, request), dialect)
        t.ok(said)
        t.equal(textOf(response, stream), said, `stream ${stream}`)
        const reason = response.headers.get("x-llmproxy-reason") ?? ""
        t.match(reason, window === undefined ? /^needs \d+ of 8192 tokens/ : `of ${window} tokens`)
        if (counts === undefined) t.notMatch(reason, "counted by")
        else t.match(reason, `counted by ${counts}`)
      }
    })

  tap.test(`${host}: is known by its pages, each asked once`, async (t) => {
    const rig = await startRig(t, { local: replayed(host), set: { localApi: "messages", ...set } })
    await rig.chat()
    const targets = rig.local?.requests.filter(({ method }) => method === "GET").map(({ target }) => target)
    t.strictSame(targets, pages)
  })

  tap.test(`${host}: a prompt that it finds too long goes to the cloud, or is an overflow`, async (t) => {
    for (const stream of [true, false]) {
      const rig = await startRig(t, {
        local: replayed(host, () => true),
        cloud: CLOUD,
        set: { localApi: "messages", cooldownMs: "0", ...set },
      })
      const passed = await rig.chat({ stream }, KEY)
      t.equal(passed.headers.get("x-llmproxy-route"), refuses ? "cloud" : "local")
      if (!refuses) continue
      t.match(passed.headers.get("x-llmproxy-reason"), /^local host failed before the first token: /)
      const refused = await rig.chat({ stream })
      t.equal(refused.status, 400)
      t.equal(JSON.parse(refused.text).error.code, "context_length_exceeded")
    }
  })
}

tap.test("a host with several models: an overflow names the window of the one that the request is for", async (t) => {
  const rig = await startRig(t, { local: replayed("ollama-0.17.4"), set: { localApi: "messages" } })
  await rig.chat()
  for (const count of [2_000, 9_000]) {
    const refused = await rig.chat({ messages: [{ role: "user", content: "word ".repeat(count) }] })
    t.equal(refused.status, 400)
    t.match(JSON.parse(refused.text).error.message, /maximum context length is 1024 tokens/, `${count} words`)
  }
  t.equal(asked(rig, "/v1/models").length, 1, "the host was not asked again")
})

tap.test("a window that was looked up long ago is looked up again before a prompt is too long for it", async (t) => {
  const clock = new ManualClock(0)
  let grown = '"context_length":1024'
  const host = "ollama-0.17.4"
  const local: ReplyScript = (request, socket) =>
    void socket.write(recordedBytes(host, recordingFor(host, request), [['"context_length":1024', grown]]))
  const rig = await startRig(t, { local, set: { localApi: "messages" }, clock })
  const long = { messages: [{ role: "user", content: "word ".repeat(2_000) }] }
  await rig.chat()
  grown = '"context_length":8192'
  t.equal((await rig.chat(long)).status, 400, "by what was known")
  clock.advance(61_000)
  await rig.chat(long)
  t.equal(asked(rig, "/api/chat").length, 2, "it fits, and the host is asked")
  t.equal(asked(rig, "/v1/models").length, 2)
})

tap.test("a model of Ollama's that does not run has the window of its Modelfile", async (t) => {
  const set = { localApi: "messages", localModel: "deepseek-coder:6.7b" }
  const rig = await startRig(t, { local: replayed("ollama-0.17.4"), set })
  const { headers } = await rig.chat()
  t.match(headers.get("x-llmproxy-reason"), "of 1024 tokens", "num_ctx, not the 4096 that it was made for")
  t.equal(asked(rig, "/api/show").length, 1)
})
