/**
 * Recognises "the prompt does not fit" in every shape that servers give it, and takes the numbers out of it.
 * There is no common code: llama.cpp has a type, OpenAI a code, LM Studio, vLLM and Ollama only a sentence. So this is
 * a list of phrases, each seen in the wild, and behind it a rule for the form (overflow-form.ts) that finds the others;
 * what an error means otherwise is error-kind.ts.
 */
import { type JsonValue, numberOf, objectOf } from "../base/json.ts"
import type { ContextOverflow } from "./model.ts"
import { overflowByForm } from "./overflow-form.ts"

export interface ErrorWords {
  readonly message: string
  readonly code: string | undefined
  readonly type: string | undefined
  /** The provider's body, for the numbers that llama.cpp keeps in fields. */
  readonly raw: JsonValue | undefined
}

// An error's phrase stands near its start; an HTML page or an echoed prompt behind it is not searched.
const SEARCHED_CHARS_MAX = 4_096

const CODES = new Set(["context_length_exceeded", "exceed_context_size_error", "model_max_prompt_tokens_exceeded"])

/** Lower case. One of them in the message makes it an overflow. */
const PHRASES: readonly string[] = [
  "maximum context length", // OpenAI, vLLM, llama-cpp-python, OpenRouter, Mistral
  "exceeds the context window", // OpenAI Responses
  "exceed context window of", // llama-cpp-python in-process
  "exceeds the available context size", // llama.cpp since 2025
  "when context the overflows", // LM Studio (its own word order)
  "does not fit in context length", // LM Studio, in-stream
  "context size has been exceeded", // LM Studio MLX
  "greater than the context length", // LM Studio, n_keep
  "longer than the context length", // Ollama with truncate: false
  "exceeds the context length", // Ollama embeddings
  "longer than the model's context length", // SGLang
  "prompt is too long:", // Anthropic
  "exceed context limit", // Anthropic
  "exceeds the maximum number of tokens allowed", // Gemini
  "`inputs` tokens + `max_new_tokens` must be", // TGI
  "`inputs` must have less than", // TGI
]

// vLLM subtracts the prompt from the window and checks what is left.
const NEGATIVE_MAX_TOKENS = /max_tokens must be at least 1, got -\d/

const REQUESTED: readonly RegExp[] = [
  /for a total of (?:at least )?(\d+)/,
  /resulted in (\d+) tokens/,
  /requested (?:about )?([1-9]\d*) tokens/,
  /requested tokens \((\d+)\)/,
  /request \((\d+) tokens\)/,
  /request has (\d+) input tokens/,
  /prompt contains (?:at least )?(\d+)\b(?! characters)/,
  /the input has (\d+) tokens/,
  /the first (\d+) tokens/,
  /n_keep(?:: ?| \()(\d+)/,
  /the input \((\d+) tokens\)/,
  /prompt is too long: (\d+)/,
  /exceed context limit: (\d+) \+ (\d+)/,
  /token count \((\d+)\)/,
  /given: (\d+)(?: `inputs` tokens and (\d+))?/,
]

const LIMIT: readonly RegExp[] = [
  /maximum context length is (\d+)/,
  /available context size \((\d+) tokens\)/,
  /context window of (\d+)/,
  /context length of only (\d+)/,
  /only supports (\d+)/,
  /n_ctx(?:: ?| \()(\d+)/,
  /context length \((\d+) tokens\)/,
  /too long: \d+ tokens > (\d+)/,
  /exceed context limit: \d+ \+ \d+ > (\d+)/,
  /tokens allowed \((\d+)\)/,
  /with (\d+) maximum context length/,
  /must be <= (\d+)/,
  /must have less than (\d+)/,
]

/** Statuses of errors that may be an overflow by their form alone; 0 and 200: within a stream. */
const FORM_STATUSES: ReadonlySet<number> = new Set([0, 200, 400, 413, 422, 500])

/**
 * The overflow that an error tells of, or undefined when it tells of something else. `status` is the answer's; without
 * one, codes and phrases alone decide.
 */
export function contextOverflow(error: ErrorWords, status?: number): ContextOverflow | undefined {
  const message = error.message.slice(0, SEARCHED_CHARS_MAX).toLowerCase()
  if (!hasCode(error) && !hasPhrase(message))
    return status !== undefined && FORM_STATUSES.has(status) ? overflowByForm(message) : undefined
  const raw = objectOf(error.raw)
  const fields = objectOf(raw?.error) ?? raw
  const requested = numberOf(fields?.n_prompt_tokens) ?? firstSum(REQUESTED, message)
  const limit = numberOf(fields?.n_ctx) ?? firstSum(LIMIT, message)
  if (requested !== undefined && limit !== undefined) return { requested, limit }
  const form = overflowByForm(message)
  const agrees =
    form !== undefined && (requested ?? form.requested) === form.requested && (limit ?? form.limit) === form.limit
  return agrees ? form : { requested, limit }
}

function hasCode(error: ErrorWords): boolean {
  return CODES.has(error.code ?? "") || CODES.has(error.type ?? "")
}

function hasPhrase(message: string): boolean {
  return PHRASES.some((phrase) => message.includes(phrase)) || NEGATIVE_MAX_TOKENS.test(message)
}

/** The sum of the groups of the first pattern that matches ("a + b" is the prompt and the answer). */
function firstSum(patterns: readonly RegExp[], message: string): number | undefined {
  for (const pattern of patterns) {
    const match = pattern.exec(message)
    if (match) return match.slice(1).reduce((sum, digits) => sum + Number(digits ?? 0), 0)
  }
  return undefined
}
