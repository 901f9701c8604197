import { test } from "tap"
import type { LlmErrorKind } from "../../../lib/llm/model.ts"
import { isErrorJson, readErrorBody, readErrorJson, writeErrorJson } from "../../../lib/llm/openai/errors.ts"

const CASES: readonly (readonly [what: string, status: number, body: unknown, kind: LlmErrorKind])[] = [
  [
    "a bad key",
    401,
    { error: { message: "Incorrect API key provided: sk-made****up.", code: "invalid_api_key" } },
    "auth",
  ],
  ["no permission", 403, { error: { message: "Forbidden" } }, "auth"],
  ["an unknown model", 404, { error: { message: "no", code: "model_not_found" } }, "model_not_found"],
  ["Azure's unknown deployment", 404, { error: { message: "no", code: "DeploymentNotFound" } }, "model_not_found"],
  ["LM Studio's model that is not loaded", 500, { error: "Model with key 'gpt-4' not loaded." }, "model_not_found"],
  ["Ollama's model", 404, { error: { message: 'model "x" not found, try pulling it first' } }, "model_not_found"],
  ["vLLM's model", 404, { object: "error", message: "The model `x` does not exist.", code: 404 }, "model_not_found"],
  [
    "LM Studio without a model",
    400,
    { error: { message: "No models loaded. Please load a model." } },
    "model_not_found",
  ],
  ["tokens per minute", 429, { error: { message: "Rate limit reached", code: "rate_limit_exceeded" } }, "rate_limit"],
  ["too many requests, without words", 429, "", "rate_limit"],
  ["no money", 429, { error: { message: "You exceeded your current quota", type: "insufficient_quota" } }, "quota"],
  ["no money, only in words", 429, { error: { message: "You exceeded your current quota" } }, "quota"],
  [
    "DeepSeek without balance",
    402,
    { error: { message: "Insufficient Balance", code: "invalid_request_error" } },
    "quota",
  ],
  ["llama.cpp loading", 503, { error: { code: 503, message: "Loading model", type: "unavailable_error" } }, "loading"],
  ["Hugging Face loading", 503, { error: "Model x is currently loading", estimated_time: 20 }, "loading"],
  [
    "Anthropic overloaded",
    529,
    { type: "error", error: { type: "overloaded_error", message: "Overloaded" } },
    "overloaded",
  ],
  ["a busy server", 503, { error: { message: "Server is busy" } }, "overloaded"],
  ["unavailable, no words", 503, "", "overloaded"],
  ["a bad request", 400, { error: { message: "no", type: "invalid_request_error" } }, "invalid_request"],
  ["FastAPI's detail", 422, { detail: [{ loc: ["body"], msg: "field required" }] }, "invalid_request"],
  ["a gateway's page", 502, "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "other"],
  ["a crash", 500, { error: { message: "boom" } }, "other"],
  ["a code of 429 inside a stream", 200, { error: { message: "slow", code: 429 } }, "rate_limit"],
  ["a code of 401 inside a stream", 200, { error: { message: "no", code: 401 } }, "auth"],
  ["a code of 400 inside a stream", 200, { error: { message: "no", code: 400 } }, "invalid_request"],
  ["a type inside a stream", 200, { error: { message: "no", type: "invalid_request_error" } }, "invalid_request"],
]

test("every provider's error has its kind", async (t) => {
  for (const [what, status, body, kind] of CASES) {
    const text = typeof body === "string" ? body : JSON.stringify(body)
    const error = readErrorBody(status, text)
    t.equal(error.kind, kind, what)
    t.equal(error.status, status, what)
  }
})

test("the message is the provider's sentence, wherever it stands", async (t) => {
  const messages: [string, string][] = [
    ['{"error":{"message":"a","code":3}}', "a"],
    ['{"error":"b"}', "b"],
    ['{"message":"c"}', "c"],
    ['{"detail":"d"}', "d"],
    ['{"detail":[{"msg":"e"}]}', "e"],
    ['[{"error":{"message":"f"}}]', "f"],
    ['{"error":{"type":"x"},"message":"g"}', "g"],
    ['"h"', "h"],
    ["  i \n", "i"],
    ["<html><TITLE>502 Bad Gateway</TITLE>", "502 Bad Gateway"],
    ["<html>j", "<html>j"],
    ["", "status 500 without a message"],
    ["[]", "status 500 without a message"],
    ['{"odd":1}', '{"odd":1}'],
  ]
  for (const [body, message] of messages) t.equal(readErrorBody(500, body).message, message, body)
})

test("a long message is cut", async (t) => {
  t.equal(readErrorBody(500, "x".repeat(100_000)).message.length, 2_000)
})

test("code and type are kept beside our kind, a number as text", async (t) => {
  const error = readErrorJson(400, { error: { message: "m", code: 400, type: "BadRequestError" } })
  t.match(error, { code: "400", type: "BadRequestError", raw: { error: { message: "m" } } })
  t.match(readErrorJson(400, { error: { message: "m", status: "INVALID_ARGUMENT" } }), { type: "INVALID_ARGUMENT" })
})

test("an answer is an error if it says so", async (t) => {
  for (const json of [{ error: "x" }, { error: {} }, { object: "error" }]) t.equal(isErrorJson(json), true)
  for (const json of [{ error: null }, { error: "" }, { error: false }, {}]) t.equal(isErrorJson(json), false)
})

test("a written error has all four keys, and a type that fits its status", async (t) => {
  const types: [number, string, string][] = [
    [400, "context_length_exceeded", "invalid_request_error"],
    [401, "invalid_api_key", "invalid_request_error"],
    [429, "rate_limit_exceeded", "rate_limit_error"],
    [429, "insufficient_quota", "insufficient_quota"],
    [502, "connection-refused", "server_error"],
  ]
  for (const [status, code, type] of types) {
    t.strictSame(writeErrorJson({ status, code, message: "m" }), { error: { message: "m", type, param: null, code } })
  }
  t.strictSame(writeErrorJson({ status: 400, code: "c", message: "m", type: "t", param: "p" }), {
    error: { message: "m", type: "t", param: "p", code: "c" },
  })
})
