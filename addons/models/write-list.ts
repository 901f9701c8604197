/** The catalogue in the form of the API that asks for it: OpenAI's, Anthropic's, Ollama's, Gemini's. Pure. */
import { createHash } from "node:crypto"
import type { JsonObject } from "llmproxy"
import type { CatalogueEntry } from "./catalogue.ts"

/** For a model whose making nobody knows. */
const UNKNOWN_TIME = "1970-01-01T00:00:00Z"
/** What Ollama's clients compare with what they need; what is served of its API is that of this version. */
const OLLAMA_VERSION = "0.12.0"
/** Where a host names the context of a model: OpenRouter and Groq, vLLM, LM Studio, Mistral, Gemini, llama.cpp. */
const CONTEXT_FIELDS = [
  "context_length",
  "context_window",
  "max_model_len",
  "max_context_length",
  "inputTokenLimit",
  "n_ctx",
]

export function openAiModel({ id, raw, upstreams }: CatalogueEntry): JsonObject {
  const created = typeof raw.created === "number" ? raw.created : 0
  const owner = typeof raw.owned_by === "string" ? raw.owned_by : (upstreams[0] ?? "llmproxy")
  return { ...raw, id, object: "model", created, owned_by: owner }
}

export function openAiList(entries: readonly CatalogueEntry[]): JsonObject {
  return { object: "list", data: entries.map(openAiModel) }
}

export function anthropicModel({ id, raw }: CatalogueEntry): JsonObject {
  const name = typeof raw.display_name === "string" ? raw.display_name : id
  return { type: "model", id, display_name: name, created_at: timeOf(raw) }
}

export function anthropicList(entries: readonly CatalogueEntry[]): JsonObject {
  const data = entries.map(anthropicModel)
  return { data, has_more: false, first_id: entries.at(0)?.id ?? null, last_id: entries.at(-1)?.id ?? null }
}

export function ollamaTags(entries: readonly CatalogueEntry[]): JsonObject {
  return { models: entries.map(ollamaModel) }
}

/** What answers at once: the local ones. */
export function ollamaRunning(entries: readonly CatalogueEntry[]): JsonObject {
  const models = entries
    .filter(({ isLocal }) => isLocal)
    .map((entry) => {
      const context = contextOf(entry)
      return {
        ...ollamaModel(entry),
        expires_at: "2318-01-01T00:00:00Z",
        size_vram: 0,
        ...(context === undefined ? {} : { context_length: context }),
      }
    })
  return { models }
}

export function ollamaShow(entry: CatalogueEntry): JsonObject {
  const context = contextOf(entry)
  return {
    license: "",
    modelfile: "",
    parameters: "",
    template: "",
    details: detailsOf(entry.raw),
    model_info: {
      "general.architecture": "llama",
      ...(context === undefined ? {} : { "llama.context_length": context }),
    },
    capabilities: ["completion"],
    modified_at: timeOf(entry.raw),
  }
}

export const ollamaVersion: JsonObject = { version: OLLAMA_VERSION }

export function geminiModel(entry: CatalogueEntry): JsonObject {
  const { id, raw } = entry
  const context = contextOf(entry)
  return {
    name: `models/${id}`,
    displayName: typeof raw.displayName === "string" ? raw.displayName : id,
    ...(context === undefined ? {} : { inputTokenLimit: context }),
    supportedGenerationMethods: ["generateContent"],
  }
}

export function geminiList(entries: readonly CatalogueEntry[]): JsonObject {
  return { models: entries.map(geminiModel) }
}

function ollamaModel({ id, raw }: CatalogueEntry): JsonObject {
  const digest = typeof raw.digest === "string" ? raw.digest : createHash("sha256").update(id).digest("hex")
  const size = typeof raw.size === "number" ? raw.size : 0
  return { name: id, model: id, modified_at: timeOf(raw), size, digest, details: detailsOf(raw) }
}

function detailsOf({ details }: JsonObject): JsonObject {
  const known = typeof details === "object" && details !== null && !Array.isArray(details) ? details : {}
  return {
    parent_model: "",
    format: "",
    family: "",
    families: [],
    parameter_size: "",
    quantization_level: "",
    ...known,
  }
}

function timeOf({ created, created_at: at, modified_at: modified }: JsonObject): string {
  if (typeof at === "string") return at
  if (typeof modified === "string") return modified
  const isTime = typeof created === "number" && created > 0 && created < 8e12 // what a Date can be
  return isTime ? new Date(created * 1_000).toISOString().replace(".000Z", "Z") : UNKNOWN_TIME
}

function contextOf({ raw }: CatalogueEntry): number | undefined {
  const said = CONTEXT_FIELDS.map((field) => raw[field]).find((value) => typeof value === "number" && value > 0)
  return typeof said === "number" ? said : undefined
}
