/**
 * Which upstreams a request may go to. In this order: what `x-llmproxy-upstream` names; the model; who made the object that it
 * is about; `models.default`; the only one there is. What cannot be decided is refused with the choices.
 */
import type { Flow } from "llmproxy"
import { then } from "../shared/then.ts"
import type { Asked } from "./asked.ts"
import type { BodyNames } from "./body.ts"
import { UPSTREAM_NAME } from "./check.ts"
import type { Lists, UpstreamList } from "./lists.ts"
import type { Objects } from "./objects.ts"
import { changesHost } from "./ollama-admin.ts"
import type { Refusal } from "./refusal.ts"
import { qualified, type Route, routeOf, type Way } from "./routes.ts"
import { isOneOfMany, mayAdminister, mayUseModel, mayUseUpstream, ownerOf } from "./scopes.ts"
import type { Speech } from "./speech.ts"
import type { Upstream } from "./upstreams.ts"

/** What is there to choose from, now. */
export interface Choices {
  readonly upstreams: readonly Upstream[]
  readonly routes: readonly Route[]
  readonly fallback: Upstream | undefined
  readonly lists: Lists
  readonly objects: Objects
}

/** What one request wants. */
export interface Wanted {
  readonly asked: Asked
  readonly names: BodyNames
  /** As the header says. */
  readonly upstream: string | undefined
}

export interface Decision {
  /** At least one; first tried first. */
  readonly ways: readonly Way[]
  readonly byWeight: boolean
  /** For people. */
  readonly why: string
  /** The model as the client names it. */
  readonly model: string | undefined
}

/** Names of a message; more are counted. */
const NAMES_MAX = 12
/** Of a bad name that a message repeats. */
const SHOWN_CHARS_MAX = 80

/** The model that counts: the path's, then the body's, and a query's where neither names one. */
export function modelOf({ asked, names }: Pick<Wanted, "asked" | "names">): string | undefined {
  return asked.modelIn === "path" ? asked.model : (names.model ?? asked.model)
}

/** A promise only where objects or the lists of upstreams are looked up. */
export function decide(flow: Flow, wanted: Wanted, choices: Choices): Decision | Refusal | Promise<Decision | Refusal> {
  const { asked } = wanted
  if (asked.adminFor !== undefined && !mayAdminister(flow))
    return refusal(403, "admin_only", `${asked.adminFor}: this key may not; it takes one with the scope admin`)
  return then(madeBy(flow, wanted, choices), (kept) => {
    if (kept !== undefined && "status" in kept) return kept
    return then(find(flow, wanted, choices, kept), (found) =>
      "status" in found ? found : permitted(flow, asked.speech, found),
    )
  })
}

/** Where the objects are that the request names; a refusal where one is another's. */
function madeBy(
  flow: Flow,
  { asked, names }: Wanted,
  choices: Choices,
): undefined | Promise<Upstream | Refusal | undefined> {
  if (asked.object === undefined && names.objects.length === 0) return undefined
  const ids = new Set([...(asked.object === undefined ? [] : [asked.object]), ...names.objects])
  return makerOf(flow, ids, choices)
}

async function makerOf(
  flow: Flow,
  ids: ReadonlySet<string>,
  { objects, upstreams }: Choices,
): Promise<Upstream | Refusal | undefined> {
  const isBound = isOneOfMany(flow)
  let first: Upstream | undefined
  for (const id of ids) {
    const made = await flow.waitFor(objects.find(id))
    // What nobody is known to have made here may be anybody's of the account.
    const isAnothers = isBound && made?.owner !== ownerOf(flow)
    if (isAnothers) return refusal(404, "not_found", `there is no object with the id ${shown(id)}`)
    first ??= upstreams.find(({ name }) => name === made?.upstream)
  }
  return first
}

function find(
  flow: Flow,
  { asked, names, upstream: named }: Wanted,
  choices: Choices,
  kept: Upstream | undefined,
): Decision | Refusal | Promise<Decision | Refusal> {
  const { upstreams } = choices
  const model = modelOf({ asked, names })
  if (model !== undefined && !mayUseModel(flow, model, ownId(model, choices)))
    return refusal(403, "model_not_allowed", `this key may not use the model ${shown(model)}`)
  if (named !== undefined) return byName(named, model, choices)
  if (changesHost(asked.path)) {
    const ollama = upstreams.find(({ speaks }) => speaks.includes("ollama"))
    if (ollama !== undefined) return to(ollama, model, "it speaks Ollama")
  }
  const found = model === undefined ? undefined : byModel(flow, model, asked.speech, choices)
  return then(found, (one) => one ?? without(flow, asked, model, choices, kept))
}

/** No route and no list has the model, or none is named. */
function without(
  flow: Flow,
  asked: Asked,
  model: string | undefined,
  choices: Choices,
  kept: Upstream | undefined,
): Decision | Refusal | Promise<Refusal> {
  const { upstreams, fallback } = choices
  if (kept !== undefined) return to(kept, model, "it keeps what is asked for")
  const speaking = upstreams.filter(({ speaks }) => speaks.includes(asked.speech))
  if (fallback !== undefined && speaking.includes(fallback)) return to(fallback, model, "models.default")
  const [only, ...others] = speaking
  if (only !== undefined && others.length === 0) return to(only, model, "there is no other")
  if (upstreams.length > 0 && only === undefined) return unsupported(asked.speech, upstreams)
  return model === undefined ? noChoice(upstreams) : noModel(flow, model, choices)
}

/** What `UPSTREAM/ID` is called there; undefined: it is no such name, or a route has it for its own. */
export function ownId(model: string, { upstreams, routes }: Pick<Choices, "upstreams" | "routes">): string | undefined {
  return routeOf(model, routes, "named") === undefined ? qualified(model, upstreams)?.id : undefined
}

function byName(named: string, model: string | undefined, { upstreams, routes }: Choices): Decision | Refusal {
  const upstream = UPSTREAM_NAME.test(named) ? upstreams.find(({ name }) => name === named) : undefined
  if (upstream === undefined) {
    const message = `x-llmproxy-upstream: no upstream is called ${shown(named)}; ${thereAre(upstreams)}`
    return refusal(400, "unknown_upstream", message)
  }
  const route = model === undefined ? undefined : routeOf(model, routes, "any")
  const way = route?.ways.find((one) => one.upstream === upstream)
  const own = model === undefined ? undefined : qualified(model, [upstream])?.id
  const ways = [{ upstream, model: way?.model ?? own, weight: undefined }]
  return { ways, byWeight: false, why: "x-llmproxy-upstream", model }
}

function byModel(
  flow: Flow,
  model: string,
  speech: Speech,
  { upstreams, routes, lists }: Choices,
): Decision | Promise<Decision | undefined> {
  const named = routeOf(model, routes, "named")
  if (named !== undefined) return along(named, model)
  const own = qualified(model, upstreams)
  if (own !== undefined) {
    const ways = [{ upstream: own.upstream, model: own.id, weight: undefined }]
    return { ways, byWeight: false, why: `it is named ${own.upstream.name}'s`, model }
  }
  const route = routeOf(model, routes, "any")
  if (route !== undefined) return along(route, model)
  return byLists(flow, model, speech, { upstreams, lists })
}

async function byLists(
  flow: Flow,
  model: string,
  speech: Speech,
  { upstreams, lists }: Pick<Choices, "upstreams" | "lists">,
): Promise<Decision | undefined> {
  const known = await flow.waitFor(lists.of(askable(flow, upstreams)))
  const having = known.filter((list) => isIn(list, model))
  const fitting = having.find(({ upstream }) => upstream.speaks.includes(speech)) ?? having[0]
  return fitting === undefined ? undefined : to(fitting.upstream, model, "it lists the model")
}

/** Ollama's models have a tag, and answer without it where it is "latest". */
function isIn({ ids, upstream }: UpstreamList, model: string): boolean {
  return ids.has(model) || (upstream.speaks.includes("ollama") && ids.has(`${model}:latest`))
}

/** Those that may be asked for this client: nothing of a flow that stays leaves, and no key is used that may not be. */
export function askable(flow: Flow, upstreams: readonly Upstream[]): Upstream[] {
  return upstreams.filter(
    ({ name, isLocal, key }) =>
      (isLocal || !flow.localOnly) && (key === undefined || flow.client.mayUseKeys) && mayUseUpstream(flow, name),
  )
}

function along({ ways, byWeight, patterns }: Route, model: string): Decision {
  return { ways, byWeight, why: `models.routes has ${patterns.join(", ")}`, model }
}

function to(upstream: Upstream, model: string | undefined, why: string): Decision {
  return { ways: [{ upstream, model: undefined, weight: undefined }], byWeight: false, why, model }
}

/** Of the ways those that this client may take, in its dialect. */
function permitted(flow: Flow, speech: Speech, decision: Decision): Decision | Refusal {
  const speaking = decision.ways.filter(({ upstream }) => upstream.speaks.includes(speech))
  if (speaking.length === 0)
    return unsupported(
      speech,
      decision.ways.map(({ upstream }) => upstream),
    )
  const local = flow.localOnly ? speaking.filter(({ upstream }) => upstream.isLocal) : speaking
  if (local.length === 0) {
    const message = `this request has to stay local, and ${named(speaking)} ${speaking.length === 1 ? "is" : "are"} not`
    return refusal(403, "stays-local", message)
  }
  const scoped = local.filter(({ upstream }) => mayUseUpstream(flow, upstream.name))
  if (scoped.length === 0) return refusal(403, "upstream_not_allowed", `this key may not use ${named(local)}`)
  const open = scoped.filter(({ upstream: { key } }) => key === undefined || flow.client.mayUseKeys)
  if (open.length > 0) return { ...decision, ways: open }
  const message = `${named(scoped)}: llmproxy's own key is for clients that authenticate (--proxy-auth, -s keys)`
  return refusal(403, "key_not_for_all", message)
}

function named(ways: readonly Way[]): string {
  return [...new Set(ways.map(({ upstream }) => upstream.name))].join(", ")
}

/** Until one API is translated into another. */
function unsupported(speech: Speech, upstreams: readonly Upstream[]): Refusal {
  const others = upstreams.slice(0, NAMES_MAX).map(({ name, speaks }) => `${name} speaks ${speaks.join(" and ")}`)
  const message = `the request speaks ${speech}, and ${others.join(", ")}: llmproxy does not translate between them yet`
  return refusal(400, "unsupported", message)
}

function noChoice(upstreams: readonly Upstream[]): Refusal {
  const message =
    upstreams.length === 0
      ? "there is no upstream. Set OPENAI_API_KEY or ANTHROPIC_API_KEY, or name one in models.upstreams"
      : `which upstream is meant is not said; ${thereAre(upstreams)}. Send x-llmproxy-upstream, or set models.default`
  return refusal(400, "no_upstream", message)
}

async function noModel(flow: Flow, model: string, { upstreams, routes, lists }: Choices): Promise<Refusal> {
  if (upstreams.length === 0) return noChoice(upstreams)
  const known = await flow.waitFor(lists.of(askable(flow, upstreams)))
  const ids = new Set([
    ...routes.flatMap(({ patterns }) => patterns),
    ...known.flatMap(({ models }) => models.slice(0, NAMES_MAX).map(({ id }) => id)),
  ])
  const all = [...ids].filter((id) => mayUseModel(flow, id, ownId(id, { upstreams, routes })))
  const some = all.slice(0, NAMES_MAX).map(shown).join(", ")
  const silent = known.filter(({ isKnown }) => !isKnown).map(({ upstream }) => upstream.name)
  const unknown =
    silent.length === 0 ? "" : ` What ${silent.join(", ")} ${silent.length === 1 ? "has" : "have"} is not known now.`
  const choice = some === "" ? "no upstream lists any" : `there are ${some}${all.length > NAMES_MAX ? " and more" : ""}`
  const message = `no upstream has the model ${shown(model)}; ${choice}.${unknown} GET /v1/models lists all`
  return refusal(400, "model_not_found", message)
}

function thereAre(upstreams: readonly Upstream[]): string {
  const names = upstreams.map(({ name }) => name)
  if (names.length === 0) return "there is none"
  const shownNames = names.slice(0, NAMES_MAX).join(", ")
  return `there ${names.length === 1 ? "is" : "are"} ${shownNames}${names.length > NAMES_MAX ? " and more" : ""}`
}

function shown(text: string): string {
  return JSON.stringify(text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}...` : text)
}

function refusal(status: number, code: string, message: string): Refusal {
  return { status, code, message }
}
