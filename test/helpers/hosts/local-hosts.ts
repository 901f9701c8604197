/**
 * Local hosts as the conductor meets them: each kind's pages, counts, overflow and answers, in the wire format of the
 * version that its entry names. Where there are recordings (recorded-hosts.ts), pages, counts and overflows are their
 * bytes, with another model's name and a larger window in them; the others were written after each project's documentation
 * and sources. The answers are written, because tests need their words: what hosts said when they were recorded is
 * test/addons/conductor/proxied/recorded.test.ts.
 */
import type { Socket } from "node:net"
import { type JsonObject, objectOf, parseJson } from "../../../lib/base/json.ts"
import type { OriginRequest, ReplyScript } from "../../../lib/testing/origin.ts"
import {
  answer,
  chatEvent,
  chatJson,
  chunk,
  DONE,
  FINISH,
  jsonAnswer,
  LAST,
  sseAnswer,
  textEvent,
} from "./proxy-host.ts"
import { type RecordedHost, type Replacements, recorded, recordedBytes, recordedPage } from "./recorded-hosts.ts"

export interface HostScript {
  readonly name: string
  /** The version, and the page that the form was written after where it was not recorded. */
  readonly source: string
  readonly recorded?: { readonly host: RecordedHost; readonly replaced: Replacements }
  readonly model: string
  readonly context: number | undefined
  /** JSON by path, for GET, where nothing was recorded. */
  readonly pages: Readonly<Record<string, object>>
  /** JSON by path, for POST beside the calls to the model; `tokens` is what it counts. */
  counts(tokens: number): Readonly<Record<string, object>>
  /** Where a DeepSeek-Coder's raw prompt goes, and where messages go. */
  readonly rawPath: string
  readonly messagesPath: string
  readonly overflow: Buffer
}

const CODER = "deepseek-coder-6.7b-instruct"
const list = (...models: object[]) => ({ object: "list", data: models })

const OLLAMA = {
  host: "ollama-0.17.4",
  // The model that ran was another one.
  replaced: [
    ["deepseek-coder:6.7b", "another:latest"],
    ["tiny:latest", "deepseek-coder:6.7b"],
    // Built from its source, it called itself 0.0.0.
    ['"version":"0.0.0"', '"version":"0.17.4"'],
    ['"context_length":1024', '"context_length":4096'],
    ["num_ctx                        1024", "num_ctx                        4096"],
  ],
} as const

const LLAMA = {
  host: "llama.cpp-b11669",
  replaced: [
    ["models/gemma-3-270m-q4_k_m.gguf", CODER],
    ['"n_ctx":1024', '"n_ctx":4096'],
    ['"eos_token":"<eos>"', '"eos_token":"<|im_end|>"'],
  ],
} as const

const VLLM = { host: "vllm-0.32.0", replaced: [['"max_model_len":1024', '"max_model_len":4096']] } as const

function recordedJson({ host, replaced }: { host: RecordedHost; replaced: Replacements }, name: string): JsonObject {
  let text = recorded(host, name).body.toString("utf8")
  for (const [from, to] of replaced) text = text.replaceAll(from, to)
  return objectOf(parseJson(text)) ?? {}
}

/** The JSON of a host's page, recorded or written. */
export function pageOf({ recorded: of, pages }: HostScript, path: string): JsonObject {
  return of === undefined
    ? (objectOf(parseJson(JSON.stringify(pages[path]))) ?? {})
    : recordedJson(of, recordedPage(path) ?? "unknown")
}

export const HOSTS: readonly HostScript[] = [
  {
    name: "LM Studio",
    source: "0.3.16; lmstudio.ai/docs/app/api/endpoints/rest",
    model: CODER,
    context: 4_096,
    pages: {
      "/v1/models": list({ id: CODER, object: "model", owned_by: "organization_owner" }),
      "/api/v0/models": list(
        { id: "text-embedding-nomic", type: "embeddings", state: "loaded", max_context_length: 2_048 },
        { id: "other", type: "llm", state: "not-loaded", max_context_length: 131_072 },
        { id: CODER, type: "llm", state: "loaded", max_context_length: 16_384, loaded_context_length: 4_096 },
      ),
    },
    counts: () => ({}),
    rawPath: "/v1/completions",
    messagesPath: "/v1/chat/completions",
    overflow: sseAnswer(
      'event: error\ndata: {"error":{"message":"Input does not fit in context length. The input has 31430 tokens, but the context length only supports 4096 tokens."}}\n\n',
    ),
  },
  {
    name: "Ollama",
    source: "0.17.4",
    recorded: OLLAMA,
    model: "deepseek-coder:6.7b",
    context: 4_096,
    pages: {},
    counts: () => ({}),
    rawPath: "/api/generate",
    messagesPath: "/api/chat",
    overflow: recordedBytes("ollama-0.17.4", "api-chat-overflow"),
  },
  {
    name: "llama.cpp",
    source: "b11669",
    recorded: LLAMA,
    model: CODER,
    context: 4_096,
    pages: {},
    counts: (tokens) => ({
      "/tokenize": { ...recordedJson(LLAMA, "tokenize"), tokens: Array.from({ length: tokens }, (_, at) => at) },
      "/v1/chat/completions/input_tokens": { ...recordedJson(LLAMA, "input-tokens"), input_tokens: tokens },
    }),
    rawPath: "/v1/completions",
    messagesPath: "/v1/chat/completions",
    overflow: recordedBytes("llama.cpp-b11669", "chat-overflow"),
  },
  {
    name: "vLLM",
    source: "0.32.0",
    recorded: VLLM,
    model: CODER,
    context: 4_096,
    pages: {},
    counts: (tokens) => ({ "/tokenize": { ...recordedJson(VLLM, "tokenize-vllm"), count: tokens } }),
    rawPath: "/v1/completions",
    messagesPath: "/v1/chat/completions",
    overflow: recordedBytes("vllm-0.32.0", "chat-overflow"),
  },
  {
    name: "llama-cpp-python",
    source: "0.3.16; llama_cpp/server/app.py",
    model: CODER,
    context: undefined,
    pages: { "/v1/models": list({ id: CODER, object: "model", owned_by: "me", permissions: [] }) },
    counts: (tokens) => ({ "/extras/tokenize/count": { count: tokens } }),
    rawPath: "/v1/completions",
    messagesPath: "/v1/chat/completions",
    overflow: jsonAnswer(
      {
        error: {
          message:
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (5000 in the messages, None in the completion). Please reduce the length of the messages or completion.",
          type: "invalid_request_error",
          param: "messages",
          code: "context_length_exceeded",
        },
      },
      "400 Bad Request",
    ),
  },
  {
    name: "OpenAI-compatible",
    source: "OpenAI's openapi.yaml; what any other server gives",
    model: CODER,
    context: undefined,
    pages: { "/v1/models": list({ id: CODER, object: "model", created: 1, owned_by: "somebody" }) },
    counts: () => ({}),
    rawPath: "/v1/completions",
    messagesPath: "/v1/chat/completions",
    overflow: sseAnswer(DONE),
  },
]

export function hostNamed(name: string): HostScript {
  const host = HOSTS.find((one) => one.name === name)
  if (host === undefined) throw new Error(`no host named ${name}`)
  return host
}

export interface HostChanges {
  /** What the host counts a prompt to be. */
  tokens?: number
  /** In place of the host's own. */
  pages?: Readonly<Record<string, object>>
  /** Answers calls to the model in place of "Hello". */
  reply?: (request: OriginRequest, socket: Socket) => void
}

/** The host, answering "Hello" to every call of the model, in its own form. */
export function scripted(host: HostScript, { tokens = 50, pages = {}, reply }: HostChanges = {}): ReplyScript {
  const known: Record<string, object> = { ...host.pages, ...pages }
  const counts = host.counts(tokens)
  const { recorded: of } = host
  return (request, socket) => {
    const isGet = request.method === "GET"
    const page = known[request.target] ?? (isGet ? undefined : counts[request.target])
    const name = isGet
      ? (recordedPage(request.target) ?? "unknown")
      : request.target === "/api/show"
        ? "show"
        : undefined
    if (page !== undefined) socket.write(jsonAnswer(page))
    else if (of !== undefined && name !== undefined) socket.write(recordedBytes(of.host, name, of.replaced))
    else if (isGet) socket.write(answer("", "", "404 Not Found"))
    else if (reply !== undefined) reply(request, socket)
    else socket.write(hello(request))
  }
}

/** "Hello" as each path gives it. Ollama and llama.cpp's own API say how many tokens the prompt was. */
export function hello({ target, body }: OriginRequest, promptTokens = 60): Buffer {
  const stream = JSON.parse(body.toString()).stream === true
  switch (target) {
    case "/api/chat":
    case "/api/generate":
      return ollamaHello(target, stream, promptTokens)
    case "/completion":
      return stream
        ? sseAnswer(
            'data: {"index":0,"content":"Hel","tokens":[1],"stop":false,"tokens_predicted":1,"tokens_evaluated":9}\n\n',
            `data: {"index":0,"content":"lo","tokens":[2],"stop":true,"stop_type":"eos","truncated":false,"tokens_predicted":2,"tokens_evaluated":${promptTokens}}\n\n`,
          )
        : jsonAnswer({
            content: "Hello",
            stop: true,
            stop_type: "eos",
            tokens_predicted: 2,
            tokens_evaluated: promptTokens,
          })
    case "/v1/completions":
      return stream
        ? sseAnswer(textEvent("Hel"), textEvent("lo\n<|EO"), textEvent("T|>", "stop"), usageEvent(promptTokens), DONE)
        : jsonAnswer({
            id: "t",
            model: "m",
            choices: [{ index: 0, text: "Hello", finish_reason: "stop" }],
            usage: usage(promptTokens),
          })
    default:
      return stream
        ? sseAnswer(chatEvent("Hel"), chatEvent("lo"), FINISH, usageEvent(promptTokens), DONE)
        : jsonAnswer(chatJson("Hello", { usage: usage(promptTokens) }))
  }
}

function usage(promptTokens: number): object {
  return { prompt_tokens: promptTokens, completion_tokens: 2, total_tokens: promptTokens + 2 }
}

function usageEvent(promptTokens: number): string {
  return `data: ${JSON.stringify({ id: "t", model: "up", choices: [], usage: usage(promptTokens) })}\n\n`
}

function ollamaHello(target: string, stream: boolean, promptTokens: number): Buffer {
  const words = (content: string) =>
    target === "/api/chat" ? { message: { role: "assistant", content } } : { response: content }
  const base = { model: "deepseek-coder:6.7b", created_at: "2026-01-01T00:00:00Z" }
  const end = { done: true, done_reason: "stop", prompt_eval_count: promptTokens, eval_count: 2 }
  if (!stream) return jsonAnswer({ ...base, ...words("Hello"), ...end })
  const lines = [
    { ...words("Hel"), done: false },
    { ...words("lo"), done: false },
    { ...words(""), ...end },
  ]
  const head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
  const chunks = lines.map((line) => chunk(`${JSON.stringify({ ...base, ...line })}\n`))
  return Buffer.concat([Buffer.from(head), ...chunks, Buffer.from(LAST)])
}
