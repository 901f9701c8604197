/**
 * What is answered from the list of all models: OpenAI's and Anthropic's `/v1/models`, Ollama's `/api/tags`, `/api/show`,
 * `/api/ps` and `/api/version`, Gemini's `/v1beta/models`, and each of their models by its id.
 */
import { type Flow, isObject, type JsonObject } from "llmproxy"
import type { ListedName } from "../shared/listed-names.ts"
import { type CatalogueEntry, catalogue } from "./catalogue.ts"
import { askable, type Choices, ownId } from "./decide.ts"
import { errorBody } from "./refusal.ts"
import { qualified } from "./routes.ts"
import { mayUseModel, mayUseUpstream } from "./scopes.ts"
import { apiPath, type Speech, speechOf } from "./speech.ts"
import {
  anthropicList,
  anthropicModel,
  geminiList,
  geminiModel,
  ollamaRunning,
  ollamaShow,
  ollamaTags,
  ollamaVersion,
  openAiList,
  openAiModel,
} from "./write-list.ts"

/** What there is to list. */
export interface Listing extends Choices {
  /** Names that other addons have. */
  readonly named: readonly ListedName[]
}

/** What is asked of the list: all of it in a form, or one entry of it. */
export type ListQuestion =
  | { readonly speech: Speech; readonly all: (entries: readonly CatalogueEntry[]) => JsonObject }
  | { readonly speech: Speech; readonly id: string; readonly one: (entry: CatalogueEntry) => JsonObject }
  | { readonly speech: Speech; readonly body: JsonObject }

const V1 = /^\/v1\/models(?:\/([^?]{1,1024}?))?\/?(?:\?|$)/
const V1_BETA = /^\/v1beta\d{0,2}\/models(?:\/([^?:]{1,1024}?))?\/?(?:\?|$)/
const OLLAMA = /^\/api\/(tags|ps|version)\/?(?:\?|$)/

/** Undefined: it is none. `/api/show` is asked with a body; see `isShow`. */
export function listQuestion({ request }: Flow): ListQuestion | undefined {
  const { method, headers } = request
  if (method !== "GET" && method !== "HEAD") return undefined
  const path = apiPath(request.path)
  const speech = speechOf(path, headers)
  const ollama = OLLAMA.exec(path)?.[1]
  if (ollama === "version") return { speech, body: ollamaVersion }
  if (ollama !== undefined) return { speech, all: ollama === "tags" ? ollamaTags : ollamaRunning }
  const beta = V1_BETA.exec(path)
  if (beta !== null) return question(speech, beta[1], geminiList, geminiModel)
  const v1 = V1.exec(path)
  if (v1 === null) return undefined
  return speech === "anthropic-messages"
    ? question(speech, v1[1], anthropicList, anthropicModel)
    : question(speech, v1[1], openAiList, openAiModel)
}

export function isShow({ request }: Flow): boolean {
  return request.method === "POST" && /^\/api\/show\/?(?:\?|$)/.test(apiPath(request.path))
}

/** The model that `/api/show` is asked for; undefined: its body names none. Its body has to be collected. */
export function showQuestion({ request }: Flow): ListQuestion | undefined {
  try {
    const body = request.json()
    const id = isObject(body) ? (body.model ?? body.name) : undefined
    return typeof id === "string" ? { speech: "ollama", id, one: ollamaShow } : undefined
  } catch {
    return undefined
  }
}

function question(
  speech: Speech,
  id: string | undefined,
  all: (entries: readonly CatalogueEntry[]) => JsonObject,
  one: (entry: CatalogueEntry) => JsonObject,
): ListQuestion {
  return id === undefined ? { speech, all } : { speech, id: decoded(id), one }
}

/** Answers the flow. Never refuses for an upstream that is down: it has what it said last. */
export async function answerList(flow: Flow, asked: ListQuestion, choices: Listing): Promise<void> {
  if ("body" in asked) return reply(flow, 200, asked.body)
  const entries = await entriesFor(flow, choices)
  if ("all" in asked) return reply(flow, 200, asked.all(entries))
  const entry = entryOf(asked.id, entries, choices)
  if (entry !== undefined) return reply(flow, 200, asked.one(entry))
  const message = `there is no model ${JSON.stringify(asked.id.slice(0, 80))}; GET /v1/models lists all`
  reply(flow, 404, errorBody(asked.speech, { status: 404, code: "model_not_found", message }))
}

function entryOf(id: string, entries: readonly CatalogueEntry[], { upstreams }: Choices): CatalogueEntry | undefined {
  const found = entries.find((one) => one.id === id) ?? entries.find((one) => one.id === `${id}:latest`)
  const own = found === undefined ? qualified(id, upstreams) : undefined
  if (own === undefined) return found
  const there = entries.find((one) => one.id === own.id && one.upstreams.includes(own.upstream.name))
  return there === undefined ? undefined : { ...there, id, upstreams: [own.upstream.name] }
}

/** What the client may use of it. */
async function entriesFor(flow: Flow, { upstreams, routes, lists, named }: Listing): Promise<CatalogueEntry[]> {
  const known = await flow.waitFor(lists.of(askable(flow, upstreams)))
  const mayUse = (id: string) => mayUseModel(flow, id, ownId(id, { upstreams, routes }))
  return catalogue(known, routes, named).filter(
    ({ id, model = id, upstreams: names }) =>
      mayUse(id) && mayUse(model) && names.some((name) => mayUseUpstream(flow, name)),
  )
}

function reply(flow: Flow, status: number, json: JsonObject): void {
  flow.route({ name: "models", reason: "the list of all models" })
  flow.respond({ status, json })
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
