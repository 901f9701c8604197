/**
 * Local hosts as the conductor meets them: each kind's pages, answers, counts and overflow, streamed and not, in the
 * wire format of the version that its entry names. None was recorded from a running server: they were written after
 * each project's documentation and sources.
 */
import type { Socket } from "node:net"
import type { OriginRequest, ReplyScript } from "../../lib/testing/origin.ts"
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

export interface HostScript {
  readonly name: string
  /** The version and the page that the form was written after. */
  readonly source: string
  readonly model: string
  readonly context: number | undefined
  /** JSON by path, for GET. */
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
    source: "0.13.0; docs/api.md",
    model: "deepseek-coder:6.7b",
    context: 4_096,
    pages: {
      "/v1/models": list({ id: "deepseek-coder:6.7b", object: "model", created: 1, owned_by: "library" }),
      "/api/version": { version: "0.13.0" },
      "/api/ps": {
        models: [{ name: "deepseek-coder:6.7b", model: "deepseek-coder:6.7b", size: 1, context_length: 4_096 }],
      },
    },
    counts: () => ({ "/api/show": { template: "{{ .Prompt }}", model_info: { "llama.context_length": 16_384 } } }),
    rawPath: "/api/generate",
    messagesPath: "/api/chat",
    overflow: jsonAnswer(
      { error: "the prompt is longer than the context length currently available to the model" },
      "400 Bad Request",
    ),
  },
  {
    name: "llama.cpp",
    source: "b6700; tools/server/README.md",
    model: CODER,
    context: 4_096,
    pages: {
      "/v1/models": list({ id: CODER, object: "model", owned_by: "llamacpp", meta: { n_ctx_train: 16_384 } }),
      "/props": {
        default_generation_settings: { id: 0, n_ctx: 4_096 },
        total_slots: 1,
        chat_template:
          "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}",
        eos_token: "<|im_end|>",
      },
    },
    counts: (tokens) => ({
      "/tokenize": { tokens: Array.from({ length: tokens }, (_, at) => at) },
      "/v1/chat/completions/input_tokens": { object: "response.input_tokens", input_tokens: tokens },
    }),
    rawPath: "/v1/completions",
    messagesPath: "/v1/chat/completions",
    overflow: jsonAnswer(
      {
        error: {
          code: 400,
          message: "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
          type: "exceed_context_size_error",
          n_prompt_tokens: 9_000,
          n_ctx: 4_096,
        },
      },
      "400 Bad Request",
    ),
  },
  {
    name: "vLLM",
    source: "0.10.2; vllm/entrypoints/openai",
    model: CODER,
    context: 4_096,
    pages: {
      "/v1/models": list({ id: CODER, object: "model", owned_by: "vllm", root: CODER, max_model_len: 4_096 }),
      "/version": { version: "0.10.2" },
    },
    counts: (tokens) => ({ "/tokenize": { count: tokens, max_model_len: 4_096, tokens: [] } }),
    rawPath: "/v1/completions",
    messagesPath: "/v1/chat/completions",
    overflow: jsonAnswer(
      {
        object: "error",
        message:
          "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion).",
        type: "BadRequestError",
        param: null,
        code: 400,
      },
      "400 Bad Request",
    ),
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
  pages?: Readonly<Record<string, object>>
  /** Answers calls to the model in place of "Hello". */
  reply?: (request: OriginRequest, socket: Socket) => void
}

/** The host, answering "Hello" to every call of the model, in its own form. */
export function scripted(host: HostScript, { tokens = 50, pages = {}, reply }: HostChanges = {}): ReplyScript {
  const known: Record<string, object> = { ...host.pages, ...pages }
  const counts = host.counts(tokens)
  return (request, socket) => {
    const page = request.method === "GET" ? known[request.target] : counts[request.target]
    if (page !== undefined) socket.write(jsonAnswer(page))
    else if (request.method === "GET") socket.write(answer("", "", "404 Not Found"))
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
