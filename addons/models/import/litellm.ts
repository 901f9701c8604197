/**
 * LiteLLM's config.yaml as our options: `model_list` becomes upstreams and routes, fallbacks stand behind a route's own targets,
 * weights stay. What has no place here is told with the reason; a key that stands in the file in clear is told to no one. Pure.
 */
import { isObject, type JsonObject, type JsonValue } from "llmproxy"
import { isModel } from "../check.ts"
import { PROVIDERS, providerOf } from "./providers.ts"

interface ImportedTarget {
  readonly upstream: string
  readonly model?: string
  readonly weight?: number
}

export interface Imported {
  readonly upstreams: Record<string, { url: string; key?: string; dialect?: string }>
  readonly routes: { model: string; to: (string | ImportedTarget)[]; by?: "weight" }[]
  /** What was not taken over, and what is to be done, a line each. */
  readonly notes: readonly string[]
}

const FROM_ENVIRONMENT = /^os\.environ\/([A-Za-z_][A-Za-z0-9_]{0,127})$/
/** Of `litellm_params` what is taken over, or means nothing here. */
const TAKEN: ReadonlySet<string> = new Set([
  "model",
  "api_base",
  "base_url",
  "api_key",
  "weight",
  "rpm",
  "tpm",
  "order",
])
/** Ways of choosing that are ours as well. */
const SHUFFLES: ReadonlySet<unknown> = new Set([undefined, "simple-shuffle", "weighted-pick"])
/** Entries of a list; nobody's file has more. */
const ENTRIES_MAX = 5_000
const NAME_CHARS_MAX = 60

interface Group {
  readonly targets: ImportedTarget[]
  readonly orders: number[]
}

export function fromLiteLlm(config: JsonValue): Imported {
  const reader = new Reader()
  if (!isObject(config))
    return { upstreams: {}, routes: [], notes: ["the file holds no object, as in model_list: [...]"] }
  const { model_list: list, router_settings: router, litellm_settings: settings, ...others } = config
  const entries = Array.isArray(list) ? list.slice(0, ENTRIES_MAX) : []
  if (entries.length === 0) reader.note("model_list: there is none, so that there is nothing to route")
  for (const [at, entry] of entries.entries()) reader.entry(`model_list[${at}]`, entry)
  reader.settings("router_settings", isObject(router) ? router : {})
  reader.settings("litellm_settings", isObject(settings) ? settings : {})
  for (const name of Object.keys(others))
    reader.note(`${shown(name)}: left out; ${SECTIONS[name] ?? "nothing here is like it"}`)
  return reader.result()
}

const SECTIONS: Readonly<Record<string, string>> = {
  general_settings: "keys are made by llmproxy keys create, the database is --database",
  environment_variables: "variables are set where llmproxy is started, or in its .env file",
  mcp_servers: "tools' servers are not asked by llmproxy",
}

class Reader {
  readonly #upstreams: Imported["upstreams"] = {}
  readonly #groups = new Map<string, Group>()
  readonly #fallbacks = new Map<string, string[]>()
  readonly #aliases = new Map<string, string>()
  readonly #notes: string[] = []
  readonly #places = new Map<string, string>()

  note(text: string): void {
    this.#notes.push(text)
  }

  entry(place: string, entry: JsonValue): void {
    const fields = isObject(entry) ? entry : {}
    const name = fields.model_name
    const params = isObject(fields.litellm_params) ? fields.litellm_params : {}
    if (typeof name !== "string" || !isModel(name)) {
      this.note(`${place}: left out; it has no model_name`)
      return
    }
    const { model } = params
    if (typeof model !== "string" || !isModel(model)) {
      this.note(`${place} (${shown(name)}): left out; its litellm_params name no model`)
      return
    }
    const { name: word, id } = providerOf(model)
    const upstream = this.#upstreamFor(`${place} (${shown(name)})`, word, params)
    if (upstream === undefined) return
    const odd = Object.keys(params).filter((field) => !TAKEN.has(field))
    if (odd.length > 0)
      this.note(
        `${place} (${shown(name)}): left out of litellm_params: ${odd.map(shown).join(", ")}; clients send what they want`,
      )
    if (id.includes("*")) {
      this.#wildcard(place, name, id, upstream)
      return
    }
    const weight = [params.weight, params.rpm, params.tpm].find((one) => typeof one === "number" && one >= 0)
    this.#add(name, { upstream, model: id, ...(typeof weight === "number" ? { weight } : {}) }, orderOf(params.order))
  }

  settings(section: string, settings: JsonObject): void {
    const { fallbacks, default_fallbacks: all, model_group_alias: aliases, ...others } = settings
    for (const entry of Array.isArray(fallbacks) ? fallbacks : [])
      for (const [name, to] of Object.entries(isObject(entry) ? entry : {})) this.#fallbacks.set(name, namesIn(to))
    if (Array.isArray(all) && all.length > 0) this.#fallbacks.set("*", namesIn(all))
    for (const [alias, to] of Object.entries(isObject(aliases) ? aliases : {})) {
      const name = isObject(to) ? to.model : to
      if (typeof name === "string") this.#aliases.set(alias, name)
    }
    for (const [name, value] of Object.entries(others)) {
      if (name === "routing_strategy" && SHUFFLES.has(value)) continue
      this.note(`${section}.${shown(name)}: left out; ${SETTINGS[name] ?? "nothing here is like it"}`)
    }
  }

  result(): Imported {
    const routes = [...this.#groups].map(([model, group]) => this.#route(model, group))
    for (const [alias, name] of this.#aliases) {
      const group = this.#groups.get(name)
      if (group === undefined || !isModel(alias))
        this.note(`model_group_alias ${shown(alias)}: left out; there is no ${shown(name)}`)
      else routes.push({ ...this.#route(name, group), model: alias })
    }
    // A pattern stands behind the names that it would hide.
    routes.sort((one, other) => Number(one.model.includes("*")) - Number(other.model.includes("*")))
    return { upstreams: this.#upstreams, routes, notes: this.#notes }
  }

  #upstreamFor(place: string, word: string, params: JsonObject): string | undefined {
    const provider = PROVIDERS[word]
    if (provider === undefined) {
      this.note(`${place}: left out; ${shown(word)} speaks an API that llmproxy does not`)
      return undefined
    }
    const url = this.#urlFor(place, provider.url, params, provider.behindBase ?? "")
    if (url === undefined) return undefined
    const key = this.#keyFor(place, word, params.api_key, url === provider.url ? provider.variable : undefined)
    const spec = {
      url,
      ...(key === undefined ? {} : { key }),
      ...(provider.dialect === undefined ? {} : { dialect: provider.dialect }),
    }
    const text = JSON.stringify(spec)
    const known = this.#places.get(text)
    if (known !== undefined) return known
    const base = word.replace(/[^A-Za-z0-9]+/g, "-")
    let name = base
    for (let count = 2; this.#upstreams[name] !== undefined; count++) name = `${base}-${count}`
    this.#upstreams[name] = spec
    this.#places.set(text, name)
    return name
  }

  #urlFor(place: string, usual: string | undefined, params: JsonObject, behind: string): string | undefined {
    const given = params.api_base ?? params.base_url
    if (given === undefined || given === null) {
      if (usual === undefined) this.note(`${place}: left out; it has no api_base`)
      return usual
    }
    const variable = typeof given === "string" ? FROM_ENVIRONMENT.exec(given)?.[1] : undefined
    if (variable !== undefined) {
      this.note(`${place}: left out; its api_base is in the variable ${variable}, and a URL has to stand in the file`)
      return undefined
    }
    const url = typeof given === "string" && URL.canParse(given) ? new URL(given) : undefined
    if (
      url === undefined ||
      !/^https?:$/.test(url.protocol) ||
      url.username !== "" ||
      url.password !== "" ||
      url.search !== ""
    ) {
      this.note(`${place}: left out; its api_base is no plain http or https URL`)
      return undefined
    }
    const own = url.pathname === "/" ? "" : url.pathname.slice(0, url.pathname.endsWith("/") ? -1 : undefined)
    return url.origin + own + (own.endsWith(behind) ? "" : behind)
  }

  #keyFor(place: string, word: string, given: JsonValue | undefined, usual: string | undefined): string | undefined {
    if (given === undefined || given === null || given === "") return usual === undefined ? undefined : `env ${usual}`
    const variable = typeof given === "string" ? FROM_ENVIRONMENT.exec(given)?.[1] : undefined
    if (variable !== undefined) return `env ${variable}`
    const name = usual ?? PROVIDERS[word]?.variable ?? `${word.toUpperCase().replace(/[^A-Z0-9]+/g, "_")}_API_KEY`
    this.note(
      `${place}: its key stands in the file in clear, and is not repeated here; put it into the variable ${name}`,
    )
    return `env ${name}`
  }

  #wildcard(place: string, name: string, id: string, upstream: string): void {
    if (id !== "*") {
      this.note(`${place} (${shown(name)}): left out; a target's model cannot be a pattern`)
      return
    }
    if (name !== `${upstream}/*`) this.#add(name, { upstream }, 0)
    else this.note(`${place} (${shown(name)}): needs no route; ${upstream}/MODEL goes to ${upstream} as it is`)
  }

  #add(name: string, target: ImportedTarget, order: number): void {
    const group = this.#groups.get(name) ?? { targets: [], orders: [] }
    group.targets.push(target)
    group.orders.push(order)
    this.#groups.set(name, group)
  }

  #route(model: string, { targets, orders }: Group): Imported["routes"][number] {
    const sorted = [...targets.keys()].sort((one, other) => (orders[one] ?? 0) - (orders[other] ?? 0))
    const own = sorted.flatMap((at) => targets[at] ?? [])
    const isOrdered = new Set(orders).size > 1
    // Several of one name are chosen from by chance, what stands behind them only where they have failed.
    const byWeight = own.length > 1 && !isOrdered
    const behind = (this.#fallbacks.get(model) ?? this.#fallbacks.get("*") ?? []).flatMap((name) => {
      const group = this.#groups.get(name)
      if (group === undefined) this.note(`fallback of ${shown(model)}: left out; there is no ${shown(name)}`)
      return name === model ? [] : (group?.targets ?? [])
    })
    const all = byWeight
      ? [...own.map((one) => ({ weight: 1, ...one })), ...behind.map((one) => ({ ...one, weight: 0 }))]
      : [...own, ...behind].map(({ weight: _, ...one }) => one)
    const to = all.map((one) => (one.model === model && !("weight" in one) ? one.upstream : one))
    return { model, to: to.map((one) => (isBare(one) ? one.upstream : one)), ...(byWeight ? { by: "weight" } : {}) }
  }
}

const SETTINGS: Readonly<Record<string, string>> = {
  routing_strategy: "targets are tried in order, or by weight",
  num_retries: "the next target is asked where one fails before its first word",
  allowed_fails: "a target that fails rests, longer each time",
  cooldown_time: "a target that fails rests, longer each time",
  context_window_fallbacks: "-s fit decides what becomes of a request that does not fit",
  drop_params: "requests are sent as the client has made them",
  success_callback: "-s history keeps what was said, -s otel tells others",
  failure_callback: "-s history keeps what was said, -s otel tells others",
}

function isBare(target: string | ImportedTarget): target is ImportedTarget {
  return typeof target !== "string" && target.model === undefined && target.weight === undefined
}

function namesIn(value: JsonValue | undefined): string[] {
  return (Array.isArray(value) ? value : [value]).flatMap((one) => (typeof one === "string" ? [one] : []))
}

function orderOf(value: JsonValue | undefined): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0
}

function shown(name: string): string {
  return JSON.stringify(name.length > NAME_CHARS_MAX ? `${name.slice(0, NAME_CHARS_MAX)}...` : name)
}
