import { test } from "tap"
import { parseJson } from "../../lib/base/json.ts"
import { contextOverflow } from "../../lib/llm/context-errors.ts"
import { readErrorBody } from "../../lib/llm/openai/errors.ts"

interface Case {
  readonly server: string
  readonly status: number
  readonly body: string
  readonly requested?: number
  readonly limit?: number
}

function error(message: string, fields: object = {}): string {
  return JSON.stringify({ error: { message, ...fields } })
}

const OVERFLOWS: readonly Case[] = [
  {
    server: "OpenAI chat, prompt alone",
    status: 400,
    body: error(
      "This model's maximum context length is 8192 tokens. However, your messages resulted in 10012 tokens. Please reduce the length of the messages.",
      { type: "invalid_request_error", param: "messages", code: "context_length_exceeded" },
    ),
    requested: 10012,
    limit: 8192,
  },
  {
    server: "OpenAI chat, prompt and answer",
    status: 400,
    body: error(
      "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (5000 in the messages, 4000 in the completion). Please reduce the length of the messages or completion.",
    ),
    requested: 9000,
    limit: 8192,
  },
  {
    server: "OpenAI Responses",
    status: 400,
    body: error("Your input exceeds the context window of this model. Please adjust your input and try again.", {
      code: "context_length_exceeded",
      param: "input",
    }),
  },
  {
    server: "llama-cpp-python server",
    status: 400,
    body: error(
      "This model's maximum context length is 2048 tokens. However, you requested 2078 tokens (2078 in the messages, None in the completion). Please reduce the length of the messages or completion.",
      { code: "context_length_exceeded" },
    ),
    requested: 2078,
    limit: 2048,
  },
  {
    server: "llama-cpp-python in process",
    status: 500,
    body: error("Requested tokens (2078) exceed context window of 2048"),
    requested: 2078,
    limit: 2048,
  },
  {
    server: "llama.cpp since autumn 2025",
    status: 400,
    body: JSON.stringify({
      error: {
        code: 400,
        message: "request (14310 tokens) exceeds the available context size (8192 tokens), try increasing it",
        type: "exceed_context_size_error",
        n_prompt_tokens: 14310,
        n_ctx: 8192,
      },
    }),
    requested: 14310,
    limit: 8192,
  },
  {
    server: "llama.cpp, September 2025",
    status: 500,
    body: error(
      "the request exceeds the available context size. try increasing the context size or enable context shift",
      { code: 500, type: "server_error" },
    ),
  },
  {
    server: "vLLM, old flat form",
    status: 400,
    body: JSON.stringify({
      object: "error",
      message:
        "This model's maximum context length is 4096 tokens. However, you requested 5078 tokens (4078 in the messages, 1000 in the completion). Please reduce the length of the messages or completion.",
      type: "BadRequestError",
      param: null,
      code: 400,
    }),
    requested: 5078,
    limit: 4096,
  },
  {
    server: "vLLM, prompt alone fills the window",
    status: 400,
    body: error(
      "This model's maximum context length is 4096 tokens. However, you requested 0 output tokens and your prompt contains at least 4097 input tokens, for a total of at least 4097 tokens. Please reduce the length of the input prompt or the number of requested output tokens.",
      { type: "BadRequestError", param: "input_tokens", code: 400 },
    ),
    requested: 4097,
    limit: 4096,
  },
  {
    server: "vLLM, max_tokens too large",
    status: 400,
    body: error(
      "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context length is 4096 tokens and your request has 2778 input tokens (8000 > 4096 - 2778).",
      { type: "BadRequestError", code: 400 },
    ),
    requested: 2778,
    limit: 4096,
  },
  {
    server: "vLLM, the window less the prompt is negative",
    status: 400,
    body: error("max_tokens must be at least 1, got -186.", { type: "BadRequestError", code: 400 }),
  },
  {
    server: "LM Studio, string",
    status: 400,
    body: JSON.stringify({
      error:
        "Trying to keep the first 9101 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input",
    }),
    requested: 9101,
    limit: 4096,
  },
  {
    server: "LM Studio, in-stream",
    status: 200,
    body: error(
      "Input does not fit in context length. The input has 31430 tokens, but the context length only supports 30000 tokens.",
    ),
    requested: 31430,
    limit: 30000,
  },
  { server: "LM Studio, MLX", status: 500, body: JSON.stringify({ error: "Context size has been exceeded." }) },
  {
    server: "LM Studio, n_keep",
    status: 400,
    body: JSON.stringify({
      error:
        "The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 13055>= n_ctx: 4096). Try to load the model with a larger context length, or provide a shorter input",
    }),
    requested: 13055,
    limit: 4096,
  },
  {
    server: "Ollama, truncate: false",
    status: 400,
    body: JSON.stringify({
      error: "the prompt is longer than the context length currently available to the model; shorten it",
    }),
  },
  {
    server: "Ollama, embeddings",
    status: 400,
    body: JSON.stringify({ error: "the input length exceeds the context length" }),
  },
  {
    server: "SGLang",
    status: 400,
    body: JSON.stringify({
      object: "error",
      message: "The input (20011 tokens) is longer than the model's context length (16384 tokens).",
      type: "BadRequestError",
      code: 400,
    }),
    requested: 20011,
    limit: 16384,
  },
  {
    server: "OpenRouter",
    status: 400,
    body: error(
      "This endpoint's maximum context length is 131072 tokens. However, you requested about 140000 tokens (139000 of text input, 1000 in the output). Please reduce the length of either one.",
      { code: 400 },
    ),
    requested: 140000,
    limit: 131072,
  },
  {
    server: "Anthropic, prompt",
    status: 400,
    body: JSON.stringify({
      type: "error",
      error: { type: "invalid_request_error", message: "prompt is too long: 205000 tokens > 200000 maximum" },
    }),
    requested: 205000,
    limit: 200000,
  },
  {
    server: "Anthropic, prompt and answer",
    status: 400,
    body: error(
      "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again",
    ),
    requested: 210000,
    limit: 200000,
  },
  {
    server: "Gemini, in an array",
    status: 400,
    body: JSON.stringify([
      {
        error: {
          code: 400,
          message: "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
          status: "INVALID_ARGUMENT",
        },
      },
    ]),
    requested: 1200000,
    limit: 1048576,
  },
  {
    server: "Mistral",
    status: 400,
    body: JSON.stringify({
      object: "error",
      message: "Prompt contains 65673 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
      type: "invalid_request_error",
      code: 3051,
    }),
    requested: 65673,
    limit: 32768,
  },
  {
    server: "TGI",
    status: 422,
    body: JSON.stringify({
      error:
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 1000 `max_new_tokens`",
      error_type: "validation",
    }),
    requested: 5000,
    limit: 4096,
  },
  { server: "a gateway that keeps only the code", status: 400, body: error("no", { code: "context_length_exceeded" }) },
]

test("every server's overflow is recognised, with its numbers", async (t) => {
  for (const { server, status, body, requested, limit } of OVERFLOWS) {
    const read = readErrorBody(status, body)
    t.equal(read.kind, "context_length", server)
    t.strictSame(contextOverflow(read), { requested, limit }, server)
  }
})

test("an error that only speaks of tokens is no overflow", async (t) => {
  const others = [
    "Rate limit reached for gpt-4 in organization org-made on tokens per min (TPM): Limit 10000, Used 8554, Requested 3082. Please try again in 9.816s.",
    "Request too large for gpt-4o in organization org-made on tokens per min (TPM): Limit 30000, Requested 31538. The input or output tokens must be reduced in order to run successfully.",
    "max_tokens must be at least 1, got 0.",
    "Invalid token",
    "",
  ]
  for (const message of others) {
    t.equal(contextOverflow({ message, code: undefined, type: undefined, raw: undefined }), undefined, message)
  }
})

test("only the start of a message is searched, so a huge page costs nothing", async (t) => {
  const message = `${"<p>".repeat(100_000)} maximum context length is 5 tokens`
  t.equal(contextOverflow({ message, code: undefined, type: undefined, raw: undefined }), undefined)
})

test("numbers may stand in a body without an error object", async (t) => {
  const raw = parseJson('{"n_prompt_tokens": 7, "n_ctx": 5}')
  const words = { message: "", code: undefined, type: "exceed_context_size_error", raw }
  t.strictSame(contextOverflow(words), { requested: 7, limit: 5 })
})

/** Messages of servers that are on no list of phrases, with their status, what was asked for and what there is. */
const BY_FORM: readonly [server: string, status: number, message: string, requested: number, limit: number][] = [
  ["LM Studio 0.4", 400, "Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)", 15028, 7424],
  ["xAI", 400, "This model's maximum prompt length is 131072 but the request contains 140000 tokens.", 140000, 131072],
  ["TabbyAPI", 422, "Prompt length 5000 is greater than max_seq_len 4096", 5000, 4096],
  ["Fireworks", 400, "The prompt is too long: 9000 tokens, model maximum is 8192 tokens", 9000, 8192],
  [
    "Cohere",
    400,
    "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000",
    5000,
    4081,
  ],
  ["KoboldCpp", 413, "Prompt of 12,345 tokens does not fit into the context of 8,192 tokens", 12345, 8192],
  ["mlx", 500, "The input has 9000 tokens, but the context window is only 4096 tokens", 9000, 4096],
  ["ExLlama", 500, "Total sequence length exceeds cache size in model.forward: context 6000 > 4096", 6000, 4096],
  ["two sentences", 400, "The model's context is limited to 2048 tokens. Your prompt has 2100 tokens.", 2100, 2048],
  ["in a stream", 200, "prompt tokens (4100) exceed the context size (4096)", 4100, 4096],
  ["an old gateway", 400, "input tokens 70000 exceed limit 65536", 70000, 65536],
]

test("an overflow in words that are on no list is told by its form, with the right numbers", async (t) => {
  for (const [server, status, message, requested, limit] of BY_FORM) {
    const read = readErrorBody(status, error(message))
    t.equal(read.kind, "context_length", server)
    t.strictSame(contextOverflow(read, status), { requested, limit }, server)
    t.strictSame(read.overflow, { requested, limit }, `${server}: the error has them`)
  }
})

/** What looks like an overflow and is none: status and message. */
const NEAR_MISSES: readonly [status: number, message: string][] = [
  [
    400,
    "max_tokens is too large: 9000. This model supports at most 4096 completion tokens, whereas you provided 9000.",
  ],
  [400, "max_tokens (20000) exceeds the context model's maximum of 16384 output tokens"],
  [400, "max_completion_tokens 70000 is more than the maximum 65536 for prompts of this model"],
  [
    413,
    "Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 7000, reduce your message",
  ],
  [
    400,
    "Invalid 'input': string too long. Expected a string with maximum length 1048576, but got a string with length 2000000 instead.",
  ],
  [
    400,
    "Invalid 'messages': array too long. Expected an array with maximum length 2048, but got an array with length 3000 instead.",
  ],
  [400, "Invalid 'tools': array too long. Expected maximum length 128, but got 200 instead"],
  [400, "image exceeds 5242880 bytes: 6000000 bytes in the prompt, maximum tokens apply"],
  [400, "The prompt's image has 9000 pixels, more than 8000 pixels; tokens are counted by tile"],
  [500, "input (600 tokens) is too large to process. increase the physical batch size (current batch size: 512)"],
  [400, "temperature 300 must be at most 200 in this context"],
  [400, "top_logprobs 300 exceeds the limit of 200"],
  [400, "The prompt scored 0.953 which is above 0.500 in the context of tokens"],
  [500, "timeout: the prompt took 300 seconds, more than 128 seconds, at 40 tokens a second"],
  [400, "too many messages in the conversation: 600 messages, maximum 512 messages of tokens"],
  [400, "prompt template failed at line 300: expected more than 2 arguments"],
  [500, "context of request 1200 was lost after only 3 tries"],
  [400, "insufficient credits: the prompt of 9000 tokens exceeds your balance of 4000 tokens credits"],
  [422, "thinking budget_tokens 9000 must be less than the context maximum 8192"],
  [400, "the input has 2000 tokens, which is less than the context of 4096 tokens"],
  [400, "The prompt exceeds the context of 4096 tokens by page 2"],
  [429, "prompt tokens 9000 exceed the limit 8192"],
  [401, "prompt tokens 9000 exceed the context limit 8192"],
]

test("what only looks like an overflow is none", async (t) => {
  for (const [status, message] of NEAR_MISSES) {
    const read = readErrorBody(status, error(message))
    t.not(read.kind, "context_length", message)
  }
})

test("characters are not taken for tokens", async (t) => {
  const message =
    "This model's maximum context length is 1024 tokens. However, your prompt contains 13550 characters (more than 12288 characters, which is the upper bound for 1024 input tokens). Please reduce the length of the input prompt. (parameter=input_text, value=13550)"
  const read = readErrorBody(400, error(message))
  t.equal(read.kind, "context_length")
  t.strictSame(read.overflow, { requested: undefined, limit: 1024 })
})
