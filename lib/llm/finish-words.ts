/**
 * The words that say why an answer ended, of all providers in one list: gateways that translate pass the words of one
 * format on in another. A word that stands for nothing here is "other", which nobody takes for a good end.
 * Sources: the API references of OpenAI, Anthropic, DeepSeek, Z.ai, Gemini, Bedrock; TGI, llama.cpp, Mistral.
 */
import type { FinishReason, FinishUnified } from "./model.ts"

const WORDS: Readonly<Record<Exclude<FinishUnified, "cut" | "other">, readonly string[]>> = {
  stop: [
    "stop",
    "end_turn",
    "stop_sequence", // Anthropic, TGI
    "eos",
    "eos_token", // TGI
    "word", // llama.cpp, as are the next
    "stopped_eos",
    "stopped_word",
  ],
  length: [
    "length",
    "max_tokens",
    "max_output_tokens", // OpenAI Responses
    "model_context_window_exceeded", // Anthropic, Z.ai
    "model_length", // Mistral
    "limit", // llama.cpp, as is the next
    "stopped_limit",
  ],
  toolCalls: ["tool_calls", "function_call", "tool_use"],
  contentFilter: [
    "content_filter",
    "refusal", // Anthropic
    "sensitive", // Z.ai
    "safety", // Gemini, as are the next
    "recitation",
    "blocklist",
    "prohibited_content",
    "spii",
    "content_filtered", // Bedrock, as is the next
    "guardrail_intervened",
  ],
  error: [
    "error", // OpenRouter
    "network_error", // Z.ai
    "insufficient_system_resource", // DeepSeek
    "malformed_function_call", // Gemini
  ],
}

const UNIFIED: ReadonlyMap<string, FinishUnified> = new Map(
  (["stop", "length", "toolCalls", "contentFilter", "error"] as const).flatMap((unified) =>
    WORDS[unified].map((word) => [word, unified] as const),
  ),
)

export function finishReasonOf(raw: string): FinishReason {
  return { unified: UNIFIED.get(raw.toLowerCase()) ?? "other", raw }
}

/** Ollama's, for a request that only loads or unloads a model, and llama.cpp's for no reason: they say nothing. */
const NOTHING_SAID = new Set(["load", "unload", "none"])

/** Whether the provider's word says nothing of a good end: Anthropic's "pause_turn" is one. */
export function isUnknownWord({ unified, raw }: FinishReason): boolean {
  return unified === "other" && raw !== undefined && !NOTHING_SAID.has(raw)
}
