/**
 * Tells which model server answers at an address, by the endpoints that only it has (each project's API reference), and
 * what models it has with how much context.
 */
import { type Ask, fieldOf, listOf, numberIn } from "./ask.ts"

export interface LocalModel {
  readonly id: string
  /** Tokens; undefined where the server does not say. */
  readonly context: number | undefined
  readonly isLoaded: boolean
}

export interface LocalServer {
  readonly name: string
  readonly models: readonly LocalModel[]
  /** It has no list of models that could be read. */
  readonly listsNone?: boolean
}

/** Undefined: what answers there is no model server. `headers` go with each request. */
export async function identify(
  ask: Ask,
  base: string,
  headers: Readonly<Record<string, string>>,
): Promise<LocalServer | undefined> {
  const get = async (path: string) => {
    const reply = await ask(`${base}${path}`, { headers })
    return reply.kind === "answer" && reply.status === 200 ? reply.json : undefined
  }
  const [ollama, studio, llama, vllm, models] = await Promise.all(
    ["/api/version", "/api/v0/models", "/props", "/version", "/v1/models"].map(get),
  )
  if (typeof fieldOf(ollama, "version") === "string") return await ollamaServer(ask, base, headers, ollama)
  const ofStudio = listOf(studio, "data")
  if (ofStudio.some((model) => "state" in model || "max_context_length" in model)) return studioServer(ofStudio)
  const listed = chatModels(listOf(models, "data"))
  const context = numberIn(fieldOf(llama, "default_generation_settings", "n_ctx"))
  if (context !== undefined)
    return { name: "llama.cpp", models: listed.map(({ id }) => ({ id: String(id), context, isLoaded: true })) }
  if (listed.some((model) => "max_model_len" in model))
    return { name: named("vLLM", fieldOf(vllm, "version")), models: listed.map(vllmModel) }
  if (listOf(models, "data").length === 0 && !Array.isArray(fieldOf(models, "data")))
    return (await isTransformers(ask, base, headers))
      ? { name: "transformers serve", models: [], listsNone: true }
      : undefined
  const plain = listed.map(({ id }) => ({ id: String(id), context: undefined, isLoaded: true }))
  return { name: "an OpenAI-compatible server", models: plain }
}

/** It has a page for its health, and a web framework's words (FastAPI) for pages that it has not. */
async function isTransformers(ask: Ask, base: string, headers: Readonly<Record<string, string>>): Promise<boolean> {
  const [health, none] = await Promise.all(["/health", "/version"].map((path) => ask(`${base}${path}`, { headers })))
  if (health?.kind !== "answer" || none?.kind !== "answer") return false
  return fieldOf(health.json, "status") === "ok" && fieldOf(none.json, "detail") === "Not Found"
}

async function ollamaServer(
  ask: Ask,
  base: string,
  headers: Readonly<Record<string, string>>,
  version: unknown,
): Promise<LocalServer> {
  const [tags, running] = await Promise.all([ask(`${base}/api/tags`, { headers }), ask(`${base}/api/ps`, { headers })])
  const loaded = new Set(running.kind === "answer" ? listOf(running.json, "models").map(({ name }) => name) : [])
  const names = chatModels(tags.kind === "answer" ? listOf(tags.json, "models") : [])
  const models = names.map(({ name }): LocalModel => {
    return { id: String(name), context: undefined, isLoaded: loaded.has(name) }
  })
  const chosen = preferred(models)
  if (chosen !== undefined) {
    const shown = await ask(`${base}/api/show`, { headers, json: { model: chosen.id } })
    const info = shown.kind === "answer" ? fieldOf(shown.json, "model_info") : undefined
    models[models.indexOf(chosen)] = { ...chosen, context: contextLength(info) }
  }
  return { name: named("Ollama", fieldOf(version, "version")), models }
}

/** The architecture's name is in the key: `llama.context_length`. */
function contextLength(info: unknown): number | undefined {
  if (typeof info !== "object" || info === null) return undefined
  const entry = Object.entries(info).find(([key]) => key.endsWith(".context_length"))
  return numberIn(entry?.[1])
}

function studioServer(models: readonly Record<string, unknown>[]): LocalServer {
  return {
    name: "LM Studio",
    models: chatModels(models).map((model) => ({
      id: String(model.id),
      context: numberIn(model.loaded_context_length) ?? numberIn(model.max_context_length),
      isLoaded: model.state === "loaded",
    })),
  }
}

function vllmModel({ id, max_model_len: context }: Record<string, unknown>): LocalModel {
  return { id: String(id), context: numberIn(context), isLoaded: true }
}

/** Without the models that only embed. */
function chatModels(models: readonly Record<string, unknown>[]): Record<string, unknown>[] {
  return models.filter(({ id, name, type }) => type !== "embeddings" && !/embed/i.test(String(id ?? name)))
}

/** One that need not be loaded first, where there is one. */
export function preferred(models: readonly LocalModel[]): LocalModel | undefined {
  return models.find(({ isLoaded }) => isLoaded) ?? models[0]
}

function named(name: string, version: unknown): string {
  return typeof version === "string" ? `${name} ${version}` : name
}
