/**
 * How many tokens the model takes that a flow is for: left on the flow by an addon that knows it, for those that ask. Addons that send
 * by "llmproxy/targets" need not: the targets tell it.
 */
import { isObject, type JsonObject, type JsonValue } from "llmproxy"
import { Note } from "./local-answers.ts"

/** Prompt and answer together, in tokens of the model. */
export const MODEL_CONTEXT = new Note<number>(
  "models.context",
  (value): value is number => typeof value === "number" && value > 0,
)

/**
 * Where a host's list of models names it: LM Studio (what is loaded comes before what the model could), OpenRouter and Groq, vLLM, Mistral,
 * llama.cpp.
 */
const FIELDS = [
  "loaded_context_length",
  "n_ctx",
  "context_length",
  "context_window",
  "max_model_len",
  "max_context_length",
  "max_input_tokens",
]

/** By id what a list of models (`GET /v1/models`) says that each takes; those of which it says nothing are undefined there. */
export function contextsIn(list: JsonValue): Map<string, number | undefined> {
  const entries = isObject(list) ? (list.data ?? list.models) : list
  const known = new Map<string, number | undefined>()
  for (const entry of Array.isArray(entries) ? entries : []) {
    if (!isObject(entry) || typeof entry.id !== "string") continue
    known.set(entry.id, contextIn(entry) ?? (isObject(entry.meta) ? contextIn(entry.meta) : undefined))
  }
  return known
}

function contextIn(entry: JsonObject): number | undefined {
  const said = FIELDS.map((field) => entry[field]).find((value) => typeof value === "number" && value > 0)
  return typeof said === "number" ? said : undefined
}
