/**
 * One address for every model: sends what is asked at the proxy's own address to the upstream that has the model, with the
 * server's key for it, and lists the models of all. This file is the way of a request, top to bottom; each step is a file in
 * models/. Requests that pass through the proxy to hosts of their own are none of its business.
 *
 * A request to a model is decided on by what `llmRequest` finds, so that addons before this one may still change the model; what
 * is asked of no model (files, embeddings, audio) in `request`.
 */
import { type AddonContext, defineAddon, type Flow, isObject, type JsonValue, type LlmFlow, UsageError } from "llmproxy"
import { answerList, isShow, type Listing, listQuestion, showQuestion } from "./models/answer-list.ts"
import { type Asked, askedIn } from "./models/asked.ts"
import { type BodyNames, jsonOf, namesIn } from "./models/body.ts"
import { declareCommand } from "./models/command.ts"
import { type Choices, type Decision, decide, modelOf, type Wanted } from "./models/decide.ts"
import { listEndpoints } from "./models/described.ts"
import { noteFindings } from "./models/lint/note.ts"
import { Lists } from "./models/lists.ts"
import { Objects } from "./models/objects.ts"
import { ollamaAdmin } from "./models/ollama-admin.ts"
import { OPTIONS } from "./models/options.ts"
import { type Refusal, refuse } from "./models/refusal.ts"
import { readRoutes, routeOf, unknownUpstream } from "./models/routes.ts"
import { Sender } from "./models/sender.ts"
import { Told } from "./models/told.ts"
import { readUpstreams, shownUpstream, type Upstream } from "./models/upstreams.ts"
import { hearConducting } from "./shared/conducting.ts"
import { hearListed, type ListedName } from "./shared/listed-names.ts"
import { OFFER, OFFERED, offerFrom, WANTED, WITHDRAW } from "./shared/local-upstream.ts"
import { type NamedModel, tellNames } from "./shared/named-models.ts"
import { isOwnAddress } from "./shared/own-address.ts"
import { then } from "./shared/then.ts"

const UPSTREAM_FIELD = "x-llmproxy-upstream"
/** Requests that llmproxy reads as asking a model. */
const ASKS_MODEL = /\/(?:chat\/completions|completions?|responses|messages|api\/chat|api\/generate)\/?(?:\?|$)/

/** What is known of a flow between its hooks. */
interface Known extends Wanted {
  names: BodyNames
  outcome: Decision | Refusal | undefined
  /** Whose API the client speaks, and what llmRequest is to do. */
  asksModel: boolean
}

export default defineAddon({
  name: "models",
  options: OPTIONS,
  givesKeys: true,
  setup(context) {
    const models = new Models(context)
    declareCommand(context)
    context.describe(listEndpoints)
    return {
      load: () => models.load(),
      configure: () => models.configure(),
      requestHeaders: (flow) => models.begin(flow),
      request: (flow) => models.read(flow),
      llmRequest: (flow) => models.send(flow),
      responseHeaders: (flow) => models.told.head(flow),
      llmResponse: (flow) => models.told.whole(flow),
      response: (flow) => models.sender.hooks.response(flow),
      error: (flow, error) => models.sender.hooks.error(flow, error),
    }
  },
})

class Models {
  readonly sender: Sender
  readonly told: Told
  readonly #context: AddonContext<typeof OPTIONS>
  readonly #lists: Lists
  readonly #objects: Objects
  readonly #known = new WeakMap<Flow, Known>()
  /** What other addons have on this machine, by name. */
  readonly #offered = new Map<string, Upstream>()
  /** What other addons call models. */
  #named: readonly ListedName[] = []
  #configured: Upstream[] = []
  #choices: Choices
  #tellNames: () => Promise<void> = async () => {}
  /** Another addon sends on what is not named here. */
  #isConducted = false

  constructor(context: AddonContext<typeof OPTIONS>) {
    this.#context = context
    this.#lists = new Lists(context)
    this.#objects = new Objects(context.tables, context.clock)
    this.sender = new Sender(context)
    this.told = new Told(this.#objects, this.sender, context.log)
    this.#choices = this.#choicesOf([])
  }

  async load(): Promise<void> {
    const { events } = this.#context
    await events.subscribe(OFFER, (value) => {
      const offer = offerFrom(value)
      if (offer === undefined) return
      const { name, url, models, context } = offer
      this.#offered.set(name, {
        ...{ name, url, models, context, key: undefined, speaks: ["openai"], isLocal: true },
        concurrency: undefined,
      })
      this.#choose()
    })
    await events.subscribe(WITHDRAW, (value) => {
      const name = typeof value === "object" && value !== null && "name" in value ? value.name : undefined
      if (typeof name === "string" && this.#offered.delete(name)) this.#choose()
    })
    await hearListed(events, (named) => {
      this.#named = named
      this.#choose()
    })
    await events.publish(WANTED, true)
    this.#tellNames = await tellNames(events, () => namesOf(this.#listing))
    await hearConducting(events, () => {
      this.#isConducted = true
    })
  }

  /** Throws a UsageError where a route or the default leads to no upstream. */
  configure(): void {
    const { options, log } = this.#context
    const { upstreams, remarks } = readUpstreams(options.upstreams, (name) => this.#context.variable(name))
    const fault = faultIn(options, [...upstreams, ...this.#offered.values()])
    if (fault !== undefined) throw new UsageError(fault)
    this.#configured = upstreams
    this.#lists.forget()
    this.#choose()
    for (const { text } of remarks) log.warn(text)
    if (upstreams.length > 0) log.info(`upstreams: ${upstreams.map(shownUpstream).join(", ")}`)
    else if (this.#offered.size === 0)
      log.warn("there is no upstream: set OPENAI_API_KEY or ANTHROPIC_API_KEY, or name one in models.upstreams")
  }

  /** Its head is there. */
  begin(flow: Flow): void | Promise<void> {
    if (!isOwnAddress(flow)) return undefined
    const question = this.#isConducted ? undefined : listQuestion(flow)
    if (question !== undefined) return answerList(flow, question, this.#listing)
    const admin = ollamaAdmin(flow, this.#choices.upstreams)
    if (admin !== undefined) return refuse(flow, "ollama", admin)
    const { headers } = flow.request
    const upstream = headers.has(UPSTREAM_FIELD) ? headers.getAll(UPSTREAM_FIELD).join(", ").trim() : undefined
    const asked = askedIn(flow)
    const names: BodyNames = { model: undefined, objects: [], kind: "other" }
    const asksModel = flow.request.method === "POST" && ASKS_MODEL.test(asked.path)
    this.#known.set(flow, { asked, names, upstream, asksModel, outcome: undefined })
    // What cannot be read streams on: then the head has to tell where to.
    return asked.hasBody ? flow.request.collect().catch(() => {}) : undefined
  }

  /** Its body is there, where one was wanted. No promise is made where there is nothing to wait for. */
  read(flow: Flow): void | Promise<void> {
    const known = this.#known.get(flow)
    if (known === undefined) return undefined
    const body = known.asked.hasBody ? jsonOf(flow.request) : undefined
    const named = known.asked.hasBody ? namesIn(flow, body, flow.client.user !== undefined) : known.names
    return then(named, (names) => this.#take(flow, known, names, body))
  }

  #take(flow: Flow, known: Known, names: BodyNames, body: JsonValue | undefined): void | Promise<void> {
    known.names = names
    if (!this.#takes(known)) return void this.#known.delete(flow)
    if (this.#context.options.lint) noteFindings(flow, known.asked.path)
    if (isShow(flow))
      return this.#show(flow).then((isAnswered) => (isAnswered ? undefined : this.#choice(flow, known, body)))
    return this.#choice(flow, known, body)
  }

  #choice(flow: Flow, known: Known, body: JsonValue | undefined): void | Promise<void> {
    return then(this.#decide(flow, known), (outcome) => {
      known.outcome = outcome
      if (!known.asksModel || !looksReadable(flow, known.asked, body)) return this.#conclude(flow, known, outcome)
      // If nobody reads it after all, it goes the way that it has now.
      if ("ways" in outcome) this.sender.direct(flow, known, outcome)
      else this.sender.hold(flow)
      return undefined
    })
  }

  /** It asks a model, in words that are understood; addons before this one may have named another model. */
  send(flow: LlmFlow): void | Promise<void> {
    const known = this.#known.get(flow)
    if (known === undefined || !known.asksModel) return undefined
    const { model } = flow.llm.request
    if (known.outcome !== undefined && model === (modelOf(known) ?? ""))
      return this.#conclude(flow, known, known.outcome)
    known.names = { ...known.names, model }
    return then(this.#decide(flow, known), (outcome) => {
      known.outcome = outcome
      return this.#conclude(flow, known, outcome)
    })
  }

  /** What cannot be decided on does not go where it would go by itself, whenever that turns out. */
  #decide(flow: Flow, known: Known): Decision | Refusal | Promise<Decision | Refusal> {
    try {
      const decided = decide(flow, known, this.#choices)
      return decided instanceof Promise ? decided.catch((thrown: unknown) => this.#undecided(thrown)) : decided
    } catch (thrown) {
      return this.#undecided(thrown)
    }
  }

  #undecided(thrown: unknown): Refusal {
    this.#context.log.warn(`where a request goes cannot be decided: ${String(thrown)}`)
    return { status: 503, code: "service_unavailable", message: "whose it is cannot be looked up now; try again" }
  }

  #conclude(flow: Flow, known: Known, outcome: Decision | Refusal): void | Promise<void> {
    if ("ways" in outcome) return this.sender.send(flow, known, outcome)
    return refuse(flow, known.asked.speech, outcome)
  }

  /** Beside a conductor, what the routes name, or the client itself. */
  #takes(known: Known): boolean {
    if (!this.#isConducted || known.upstream !== undefined) return true
    const model = modelOf(known)
    return model !== undefined && routeOf(model, this.#choices.routes, "any") !== undefined
  }

  /** Whether it was answered here: of a model whose own host can say more, the host is asked. */
  async #show(flow: Flow): Promise<boolean> {
    const question = showQuestion(flow)
    if (question === undefined || !("id" in question)) return false
    const known = this.#known.get(flow)
    const outcome = known === undefined ? undefined : await this.#decide(flow, known)
    if (outcome !== undefined && "ways" in outcome) return false
    await answerList(flow, question, this.#listing)
    return true
  }

  get #listing(): Listing {
    return { ...this.#choices, named: this.#named }
  }

  #choose(): void {
    const names = new Set(this.#configured.map(({ name }) => name))
    this.#choices = this.#choicesOf([
      ...this.#configured,
      ...[...this.#offered.values()].filter(({ name }) => !names.has(name)),
    ])
    this.#tellNames().catch((thrown: unknown) => this.#context.log.warn(`its names are not told: ${String(thrown)}`))
  }

  #choicesOf(upstreams: readonly Upstream[]): Choices {
    const { options } = this.#context
    const routes = readRoutes(options.routes, upstreams)
    return {
      upstreams,
      routes: typeof routes === "string" ? [] : routes,
      fallback: upstreams.find(({ name }) => name === options.default),
      lists: this.#lists,
      objects: this.#objects,
    }
  }
}

/** What stands for others' names: the routes' own, and those with an upstream's before them. */
function namesOf({ routes, upstreams, named }: Listing): NamedModel[] {
  const hostOf = ({ url }: Upstream) => new URL(url).host
  return [
    ...named.map(({ id, model }) => {
      const ways = routeOf(model, routes, "any")?.ways ?? upstreams.map((upstream) => ({ upstream, model }))
      return { pattern: id, ways: ways.map((way) => ({ host: hostOf(way.upstream), model: way.model ?? model })) }
    }),
    ...routes.flatMap(({ patterns, ways }) =>
      patterns.map((pattern) => ({
        pattern,
        ways: ways.map(({ upstream, model }) => ({ host: hostOf(upstream), model })),
      })),
    ),
    ...upstreams.map((upstream) => ({
      pattern: `${upstream.name}/*`,
      ways: [{ host: hostOf(upstream), model: undefined }],
    })),
  ]
}

function faultIn(
  { routes, default: fallback }: { readonly routes: readonly unknown[]; readonly default: string | undefined },
  upstreams: readonly Upstream[],
): string | undefined {
  const read = readRoutes(routes, upstreams)
  if (typeof read === "string") return read
  if (fallback === undefined || OFFERED.includes(fallback) || upstreams.some(({ name }) => name === fallback))
    return undefined
  return unknownUpstream("models.default", fallback, upstreams)
}

/** Whether llmproxy will most likely read it as a request to a model, and call `llmRequest`. */
function looksReadable({ request }: Flow, { speech }: Asked, body: JsonValue | undefined): boolean {
  if (!isObject(body)) return false
  if (/\/(?:chat\/completions|messages|api\/chat)\/?(?:\?|$)/.test(request.path)) return Array.isArray(body.messages)
  return speech === "openai" ? "prompt" in body || "input" in body : true
}
