/**
 * What the local hosts are and have, remembered until it turns out to be wrong, and looked up again alongside a request
 * when it is old. The questions are child flows, so that they take the proxy's own way (its trust, its --connect-to,
 * never back into itself), are seen by other addons, and end when their client leaves.
 */
import type { Answer, Clock, Flow, JsonObject } from "llmproxy"
import {
  canCount,
  type HostKind,
  type HostModel,
  type HostReport,
  identify,
  listedModels,
  Probe,
  type ShownModel,
  shownModel,
} from "./host-kind.ts"
import { objectIn } from "./json.ts"
import type { ConductorOptions } from "./options.ts"
import { Patience, QUESTIONS_MS } from "./patience.ts"

/** What is older is looked up again, while it still serves: people load other models. */
const STALE_MS = 60_000
/** Characters of a host's own words in a reason: it stands in a header and in a line. */
const REASON_CHARS_MAX = 160

const NO_FIELDS: ReadonlySet<string> = new Set()

/** A host, and the model that a request is for. */
export interface HostFacts {
  readonly base: string
  readonly kind: HostKind
  /** Undefined where the host names none: it decides. */
  readonly model: string | undefined
  /** Tokens that prompt and answer may be together; undefined where the host does not say. */
  readonly context: number | undefined
  /** Whether `context` is the window that the request has. Else it is what the model was made for at most. */
  readonly holds: boolean
  readonly template: HostReport["template"]
  readonly version: string | undefined
}

/** `wanted`: the model, if it is decided; `asked`: the client's name for it. */
export interface Named {
  readonly wanted: string | undefined
  readonly asked: string
}

interface Known {
  readonly report: HostReport
  /** Monotonic milliseconds. */
  readonly at: number
  /** What is told of Ollama's models that do not run. */
  readonly shown: Map<string, ShownModel>
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
  return answer.failure === undefined ? listedModels(objectIn(await answer.text())) : undefined
}

/** Asks for the models of a local host. */
export function askModels(flow: Flow, base: string, key: string | undefined): Promise<Answer> {
  return askHost(flow, `${base}/v1/models`, keyFields(key), QUESTIONS_MS)
}

export class LocalHosts {
  readonly #options: Pick<ConductorOptions, "localKey" | "localModel">
  readonly #clock: Clock
  readonly #known = new Map<string, Known>()
  readonly #asking = new Map<string, Promise<void>>()
  readonly #refusing = new Set<string>()
  readonly #uncounting = new Set<string>()
  readonly #honest = new Set<string>()
  readonly #unwanted = new Map<string, ReadonlySet<string>>()

  constructor(options: Pick<ConductorOptions, "localKey" | "localModel">, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  /** The facts that a request needs; a text says why the host cannot be used. */
  about(
    flow: Flow,
    base: string,
    { wanted, asked }: Named,
    patience = new Patience(this.#clock),
  ): Promise<HostFacts | string> {
    return patience.during(() => this.#about(flow, base, wanted ?? this.#options.localModel, asked, patience))
  }

  async #about(
    flow: Flow,
    base: string,
    id: string | undefined,
    asked: string,
    patience: Patience,
  ): Promise<HostFacts | string> {
    const known = this.#known.get(base) ?? (await this.#lookUp(flow, base, patience))
    if (typeof known === "string") return known
    if (this.#isOld(known)) this.#refresh(flow, base)
    const { kind, template, version } = known.report
    const model = chosen(known.report, id, asked)
    const isShown = kind === "Ollama" && model?.context === undefined
    const shown = isShown ? await this.#shown(flow, base, known, id ?? model?.id, patience) : undefined
    const window = model?.context ?? shown?.window
    const context = window ?? shown?.made
    return { base, kind, model: id ?? model?.id, context, holds: window !== undefined, template, version }
  }

  #isOld({ at }: Known): boolean {
    return this.#clock.monotonic() - at > STALE_MS
  }

  /** What is known without asking. */
  peek(base: string): HostReport | undefined {
    return this.#known.get(base)?.report
  }

  /**
   * The model that a request would be for, and its window, as far as they are known without asking. A window that was
   * looked up long ago counts for none: the host may have another by now, and the request goes there to be told.
   */
  peekModel(base: string, { wanted, asked }: Named): { id: string | undefined; context: number | undefined } {
    const known = this.#known.get(base)
    const named = wanted ?? this.#options.localModel
    const model = known === undefined ? undefined : chosen(known.report, named, asked)
    const id = named ?? model?.id
    if (known === undefined || this.#isOld(known)) return { id, context: undefined }
    const shown = id === undefined ? undefined : known.shown.get(id)
    return { id, context: model?.context ?? shown?.window ?? shown?.made }
  }

  /** Something has changed: the next request asks anew. */
  forget(base?: string): void {
    if (base === undefined) {
      for (const known of [this.#known, this.#refusing, this.#uncounting, this.#honest, this.#unwanted]) known.clear()
    } else this.#known.delete(base)
  }

  /** LM Studio refuses `json_object`; of others it is learnt. */
  refusesJsonObject({ base, kind }: HostFacts): boolean {
    return kind === "LM Studio" || this.#refusing.has(base)
  }

  refusedJsonObject({ base }: HostFacts): void {
    this.#refusing.add(base)
  }

  /** Fields of ours that the host has refused. */
  unwanted({ base }: HostFacts): ReadonlySet<string> {
    return this.#unwanted.get(base) ?? NO_FIELDS
  }

  refusedFields(facts: HostFacts, names: readonly string[]): void {
    this.#unwanted.set(facts.base, new Set([...this.unwanted(facts), ...names]))
  }

  /** Whether an Ollama has shown that it refuses a prompt which is too long, whatever its version says. */
  keepsWord({ base }: HostFacts): boolean {
    return this.#honest.has(base)
  }

  keptWord({ base }: HostFacts): void {
    this.#honest.add(base)
  }

  /** Whether the host can be asked to count: older versions of its program cannot. */
  counts({ base, kind }: HostFacts): boolean {
    return canCount(kind) && !this.#uncounting.has(base)
  }

  cannotCount({ base }: HostFacts): void {
    this.#uncounting.add(base)
  }

  async #lookUp(flow: Flow, base: string, patience: Patience): Promise<Known | string> {
    const probe = new Probe(flow, base, keyFields(this.#options.localKey), patience)
    const listed = await probe.ask("/v1/models")
    if (listed?.failure?.kind === "connect" && !probe.isLate) return whyFailed(listed)
    const list = listed === undefined || listed.failure !== undefined ? undefined : objectIn(await listed.text())
    const known = { report: await identify(probe, list), at: this.#clock.monotonic(), shown: new Map() }
    // What could not be found out now may be there the next time.
    if (known.report.isWhole && listedModels(list) !== undefined) this.#known.set(base, known)
    return known
  }

  /** Alongside: the request goes on with what was known. */
  #refresh(flow: Flow, base: string): void {
    if (this.#asking.has(base)) return
    const done = () => void this.#asking.delete(base)
    const patience = new Patience(this.#clock)
    // The flow has ended, if it fails: another one will ask.
    const asking = patience.during(() => this.#lookUp(flow, base, patience)).then(done, done)
    this.#asking.set(base, asking)
  }

  /** Resolves when a look-up that runs alongside has ended; undefined where none does. */
  renewal(base: string): Promise<void> | undefined {
    return this.#asking.get(base)
  }

  async #shown(
    flow: Flow,
    base: string,
    { shown }: Known,
    model: string | undefined,
    patience: Patience,
  ): Promise<ShownModel | undefined> {
    if (model === undefined) return undefined
    if (!shown.has(model)) {
      const probe = new Probe(flow, base, keyFields(this.#options.localKey), patience)
      const page = await probe.page("/api/show", { model })
      if (probe.isLate) return undefined
      shown.set(model, shownModel(page))
    }
    return shown.get(model)
  }
}

/** The model of a host that a request is for; `id`: where it is decided. */
function chosen({ kind, models }: HostReport, id: string | undefined, asked: string): HostModel | undefined {
  const named = models.find((model) => isCalled(model.id, id ?? asked))
  // llama.cpp has one model, and answers to every name.
  return named ?? (id === undefined || kind === "llama.cpp" ? preferred(models) : undefined)
}

/** Ollama's names have a tag, which people leave out. */
function isCalled(id: string, name: string): boolean {
  return id === name || id === `${name}:latest`
}

/** One that need not be loaded first, where there is one. */
function preferred(models: readonly HostModel[]): HostModel | undefined {
  return models.find(({ isLoaded }) => isLoaded) ?? models[0]
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
    case "addon":
      return words
    case "empty":
      return "empty answer"
    case "cut":
      return flow.error?.code === "timeout" ? "timeout" : "the answer broke off"
  }
}
