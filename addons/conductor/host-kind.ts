/**
 * Which program answers at a local host, what models it has and how much they take in. Its list of models mostly says
 * whose it is; only where it does not, the pages are asked for that one program alone has. Nothing is remembered here.
 * Source: each program's API reference; docs/hosts.md has the table.
 */
import { type Answer, type Flow, isObject, type JsonObject, type JsonValue } from "llmproxy"
import { objectIn, objectsOf } from "./json.ts"
import type { Patience } from "./patience.ts"

export type HostKind = "LM Studio" | "Ollama" | "llama.cpp" | "vLLM" | "llama-cpp-python" | "OpenAI-compatible"

/** Whether the program counts tokens for others. */
export function canCount(kind: HostKind | undefined): boolean {
  return kind === "llama.cpp" || kind === "vLLM" || kind === "llama-cpp-python"
}

export interface HostModel {
  readonly id: string
  /** Tokens; undefined where the host does not say. */
  readonly context: number | undefined
  readonly isLoaded: boolean
}

export interface HostReport {
  readonly kind: HostKind
  /** Those that can talk. */
  readonly models: readonly HostModel[]
  /** llama.cpp's own chat template, in Jinja. */
  readonly template: { readonly source: string; readonly eosToken: string | undefined } | undefined
  /** Ollama's; undefined where it is not known. */
  readonly version: string | undefined
  /** Whether every question had its answer in time. */
  readonly isWhole: boolean
}

/** Models that answer no chat. */
const EMBEDDING = /embed|bge|e5-|gte-|minilm/i

/** Who stands in a model list as its owner. */
const BY_OWNER: Readonly<Record<string, HostKind>> = {
  organization_owner: "LM Studio",
  library: "Ollama",
  llamacpp: "llama.cpp",
  vllm: "vLLM",
  me: "llama-cpp-python",
}

/** Asks a host for its pages, as long as the request's patience lasts. A page that cannot be had is undefined. */
export class Probe {
  isLate = false
  readonly #flow: Flow
  readonly #base: string
  readonly #headers: Record<string, string>
  readonly #patience: Patience

  constructor(flow: Flow, base: string, headers: Record<string, string>, patience: Patience) {
    this.#flow = flow
    this.#base = base
    this.#headers = { Accept: "application/json", ...headers }
    this.#patience = patience
  }

  /** The answer, read to its end; undefined when the time is over. */
  async ask(path: string, json?: JsonObject): Promise<Answer | undefined> {
    const timeoutMs = this.#patience.leftMs
    if (timeoutMs === 0) this.isLate = true
    if (this.isLate) return undefined
    const request = { method: json === undefined ? "GET" : "POST", headers: this.#headers }
    const answer = await this.#flow.send(json === undefined ? request : { ...request, json }, {
      url: this.#base + path,
      until: "end",
      timeoutMs,
    })
    if (answer.flow.error?.code === "timeout") this.isLate = true
    return answer
  }

  async page(path: string, json?: JsonObject): Promise<JsonObject | undefined> {
    const answer = await this.ask(path, json)
    return answer === undefined || answer.failure !== undefined ? undefined : objectIn(await answer.text())
  }
}

/** The entries of a model list. Undefined: it is none. */
export function listedModels(list: JsonObject | undefined): JsonObject[] | undefined {
  return Array.isArray(list?.data) ? objectsOf(list.data).filter(({ id }) => typeof id === "string") : undefined
}

/** `list`: what the host gave as its models, if it did. */
export async function identify(probe: Probe, list: JsonObject | undefined): Promise<HostReport> {
  const listed = listedModels(list) ?? []
  const owner = listed.map(({ owned_by: name }) => BY_OWNER[String(name)]).find((kind) => kind !== undefined)
  switch (owner) {
    case "LM Studio":
      return report(probe, owner, studioModels(await probe.page("/api/v0/models")) ?? plainModels(listed))
    case "Ollama":
      return ollamaReport(probe, listed, await probe.page("/api/version"))
    case "llama.cpp":
      return llamaReport(probe, listed, await probe.page("/props"))
    case "vLLM":
    case "llama-cpp-python":
      return report(probe, owner, plainModels(listed))
    default:
      return unnamed(probe, listed)
  }
}

/** Each of these pages is one program's alone. Others answer 404, or, as LM Studio does, 200 with an error. */
async function unnamed(probe: Probe, listed: readonly JsonObject[]): Promise<HostReport> {
  const [ollama, studio, props, vllm] = await Promise.all(
    ["/api/version", "/api/v0/models", "/props", "/version"].map((path) => probe.page(path)),
  )
  if (typeof ollama?.version === "string") return ollamaReport(probe, listed, ollama)
  const ofStudio = studioModels(studio)
  if (ofStudio !== undefined) return report(probe, "LM Studio", ofStudio)
  if (isObject(props?.default_generation_settings)) return llamaReport(probe, listed, props)
  const isVllm = typeof vllm?.version === "string" && listed.some((model) => "max_model_len" in model)
  return report(probe, isVllm ? "vLLM" : "OpenAI-compatible", plainModels(listed))
}

function report(probe: Probe, kind: HostKind, models: readonly HostModel[]): HostReport {
  const talking = models.filter(({ id }) => !EMBEDDING.test(id))
  return { kind, models: talking, template: undefined, version: undefined, isWhole: !probe.isLate }
}

/** vLLM's `max_model_len`, and what others call it. */
function plainModels(listed: readonly JsonObject[]): HostModel[] {
  return listed.filter(isTalking).map((model) => {
    const context = sizeIn(model.max_model_len) ?? sizeIn(model.context_length) ?? sizeIn(model.context_window)
    return { id: String(model.id), context, isLoaded: true }
  })
}

/** LM Studio's own list: a model that is not loaded takes what it was made for at most. */
function studioModels(page: JsonObject | undefined): HostModel[] | undefined {
  const listed = listedModels(page)?.filter((model) => "state" in model || "max_context_length" in model)
  if (listed === undefined || listed.length === 0) return undefined
  return listed.filter(isTalking).map((model) => ({
    id: String(model.id),
    context: sizeIn(model.loaded_context_length) ?? sizeIn(model.max_context_length),
    isLoaded: model.state === "loaded",
  }))
}

/** Ollama's running models have a window; what the others would get is in /api/show. */
async function ollamaReport(
  probe: Probe,
  listed: readonly JsonObject[],
  about: JsonObject | undefined,
): Promise<HostReport> {
  const running = objectsOf((await probe.page("/api/ps"))?.models)
  const models = listed.map((model): HostModel => {
    const id = String(model.id)
    const loaded = running.find(({ name }) => name === id)
    return { id, context: sizeIn(loaded?.context_length), isLoaded: loaded !== undefined }
  })
  const version = typeof about?.version === "string" ? about.version : undefined
  return { ...report(probe, "Ollama", models), version }
}

/** The window of one request: the server's context is shared among its slots. */
function llamaReport(probe: Probe, listed: readonly JsonObject[], props: JsonObject | undefined): HostReport {
  const settings = isObject(props?.default_generation_settings) ? props.default_generation_settings : {}
  const context = sizeIn(settings.n_ctx)
  const models = listed.map(({ id }) => ({ id: String(id), context, isLoaded: true }))
  const source = props?.chat_template
  const eosToken = typeof props?.eos_token === "string" ? props.eos_token : undefined
  const template = typeof source === "string" && source !== "" ? { source, eosToken } : undefined
  return { ...report(probe, "llama.cpp", models), template }
}

function isTalking({ type }: JsonObject): boolean {
  return type !== "embeddings" && type !== "embedding"
}

export interface ShownModel {
  /** `num_ctx` of its Modelfile: the window that it gets when it is loaded. */
  readonly window: number | undefined
  /** What it was made for; the architecture's name is in the key: `llama.context_length`. */
  readonly made: number | undefined
}

/** What Ollama's /api/show tells of a model. `parameters` is a text, a line for each: a name, spaces, a value. */
export function shownModel(page: JsonObject | undefined): ShownModel {
  const info = isObject(page?.model_info) ? page.model_info : {}
  const made = sizeIn(Object.entries(info).find(([key]) => key.endsWith(".context_length"))?.[1])
  const lines = typeof page?.parameters === "string" ? page.parameters.split("\n") : []
  const [, value] = lines.map((line) => line.trim().split(/ +/)).find(([name]) => name === "num_ctx") ?? []
  return { window: sizeIn(Number(value)), made }
}

function sizeIn(value: JsonValue | undefined): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? Math.floor(value) : undefined
}
