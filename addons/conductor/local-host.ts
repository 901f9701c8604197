/**
 * What the local host is and has: its models, and whether it is Ollama. Asked for when first needed, remembered until
 * it turns out to be wrong. The questions are child flows, so that they take the proxy's own way (its trust, its
 * --connect-to, never back into itself), are seen by other addons, and end when their client leaves.
 */
import type { Answer, Flow, JsonObject } from "llmproxy"
import { objectIn, objectsOf } from "./json.ts"
import type { ConductorOptions } from "./options.ts"

/** Milliseconds that a host has to say what it is. The request itself has no such limit. */
const ASK_MS = 2_000
/** Characters of a host's own words in a reason: it stands in a header and in a line. */
const REASON_CHARS_MAX = 160

/** Models that answer no chat. */
const EMBEDDING = /embed|bge|e5-|gte-|minilm/i

export interface HostFacts {
  /** The first model that can talk; undefined where the host names none. */
  readonly model: string | undefined
  readonly isOllama: boolean
}

/** Asks for a page of a host. */
export function askHost(flow: Flow, url: string, headers: Record<string, string>, timeoutMs: number): Promise<Answer> {
  return flow.send(
    { method: "GET", headers: { Accept: "application/json", ...headers } },
    { url, until: "end", timeoutMs },
  )
}

export function keyFields(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { Authorization: `Bearer ${key}` }
}

/** The models of a host's list, as it describes them. Undefined when there is no list. */
export async function modelsIn(answer: Answer): Promise<JsonObject[] | undefined> {
  if (answer.failure !== undefined) return undefined
  const list = objectIn(await answer.text())
  return Array.isArray(list?.data) ? objectsOf(list.data).filter(({ id }) => typeof id === "string") : undefined
}

/** Asks for the models of the local host. */
export function askModels(flow: Flow, base: string, key: string | undefined): Promise<Answer> {
  return askHost(flow, `${base}/v1/models`, keyFields(key), ASK_MS)
}

export class LocalHosts {
  readonly #options: Pick<ConductorOptions, "localKey" | "localModel" | "localApi">
  readonly #known = new Map<string, HostFacts>()

  constructor(options: Pick<ConductorOptions, "localKey" | "localModel" | "localApi">) {
    this.#options = options
  }

  /** The facts that a request needs; a text says why the host cannot be used. */
  async about(flow: Flow, base: string): Promise<HostFacts | string> {
    const { localKey, localModel, localApi } = this.#options
    const known = this.#known.get(base)
    if (known !== undefined) return known
    const [listed, version] = await Promise.all([
      localModel === undefined ? askModels(flow, base, localKey) : undefined,
      localApi === "completions" ? askHost(flow, `${base}/api/version`, keyFields(localKey), ASK_MS) : undefined,
    ])
    const first = listed ?? version
    if (first?.failure?.kind === "connect" && !isSlow(first)) return whyFailed(first)
    const models = listed === undefined ? [] : await modelsIn(listed)
    const facts = { model: localModel ?? firstTalking(models ?? []), isOllama: await isOllama(version) }
    // What could not be found out now may be there the next time.
    if (models !== undefined && !isSlow(version)) this.#known.set(base, facts)
    return facts
  }

  /** Something has changed: the next request asks anew. */
  forget(): void {
    this.#known.clear()
  }
}

function firstTalking(models: readonly JsonObject[]): string | undefined {
  const ids = models.filter(({ type }) => type !== "embeddings" && type !== "embedding").map(({ id }) => String(id))
  return ids.find((id) => !EMBEDDING.test(id))
}

/** Only Ollama has this page. Others answer 404, or, as LM Studio does, 200 with an error. */
async function isOllama(answer: Answer | undefined): Promise<boolean> {
  if (answer === undefined || answer.failure !== undefined) return false
  return typeof objectIn(await answer.text())?.version === "string"
}

function isSlow(answer: Answer | undefined): boolean {
  return answer?.flow.error?.code === "timeout"
}

/** Why an answer is of no use, in a few words. */
export function whyFailed({ failure, flow }: Answer): string {
  if (failure === undefined) return "no failure"
  const words = failure.message.replace(/\s+/g, " ").slice(0, REASON_CHARS_MAX)
  switch (failure.kind) {
    case "connect":
      return flow.error === undefined ? words : flow.error.code.replaceAll("-", " ")
    case "status":
      return `status ${failure.status}: ${words}`
    case "error":
      return `error: ${words}`
    case "empty":
      return "empty answer"
    case "cut":
      return "the answer broke off"
  }
}
