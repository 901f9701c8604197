/**
 * What a client and an upstream say to each other: whose API a path belongs to, and what an upstream understands. Wider than
 * a flow's dialect, which is of requests to a model alone: lists, files and embeddings are somebody's API as well. Pure.
 */
import type { Headers } from "llmproxy"

export type Speech = "openai" | "anthropic-messages" | "ollama" | "llamacpp" | "gemini"

/** What people write for `dialect`. */
export const DIALECT_NAMES: Readonly<Record<string, readonly Speech[]>> = {
  openai: ["openai"],
  "openai-chat": ["openai"],
  "openai-responses": ["openai"],
  "openai-completions": ["openai"],
  anthropic: ["anthropic-messages"],
  "anthropic-messages": ["anthropic-messages"],
  // Both answer OpenAI's paths beside their own.
  ollama: ["openai", "ollama"],
  llamacpp: ["openai", "llamacpp"],
  gemini: ["gemini"],
}

/** Where Ollama listens unless it is told otherwise. */
const OLLAMA_PORT = "11434"
/** Of llama.cpp's server, without /v1. */
const LLAMACPP =
  /^\/(?:completions?|infill|tokenize|detokenize|apply-template|props|slots|embedding|rerank(?:ing)?)(?:[/?]|$)/
const OPENAI_ROOTS =
  /^\/(?:chat|completions|responses|embeddings|models|files|batches|images|audio|moderations|uploads|fine_tuning|vector_stores|realtime|conversations|assistants|threads|videos|containers|evals)(?:[/?]|$)/
/** What only Anthropic's API has. */
const ANTHROPIC = /^\/v1\/(?:messages|complete)(?:[/?]|$)/
/** What both have. */
const SHARED = /^\/v1\/(?:models|files)(?:[/?]|$)/
/** `/v1/models/gemini-2.5-pro:generateContent`: Gemini's, under an older name. */
const GEMINI = /^\/(?:v1beta\d*\/|v1\/models\/[^/?]{1,256}:[a-zA-Z]{1,64}(?:[?]|$))/

/**
 * The path as an API knows it: a base URL of the proxy that ends in /v1 or not, and one that `--base-upstream` has put /v1
 * before, all name the same.
 */
export function apiPath(path: string): string {
  const own = /^\/v1(?=\/(?:v1|v1beta|api)\/)/.test(path) ? path.slice("/v1".length) : path
  if (/^\/completion(?:[?]|$)/.test(own)) return own
  return OPENAI_ROOTS.test(own) ? `/v1${own}` : own
}

/** Whose API a request speaks. `path` is one of `apiPath`. */
export function speechOf(path: string, headers: Pick<Headers, "has">): Speech {
  if (path.startsWith("/api/")) return "ollama"
  if (GEMINI.test(path)) return "gemini"
  if (ANTHROPIC.test(path)) return "anthropic-messages"
  if (SHARED.test(path) && headers.has("anthropic-version")) return "anthropic-messages"
  return LLAMACPP.test(path) ? "llamacpp" : "openai"
}

/** What an upstream at `url` speaks where nobody has said it. */
export function usualSpeech(url: string): readonly Speech[] {
  const { hostname, port, pathname } = new URL(url)
  if (hostname === "api.anthropic.com") return ["anthropic-messages"]
  if (hostname === "generativelanguage.googleapis.com" && !pathname.includes("/openai")) return ["gemini"]
  return port === OLLAMA_PORT ? ["openai", "ollama"] : ["openai"]
}
