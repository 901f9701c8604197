/**
 * Asks a model for a served request, at our own address, as the client that asks here: profiles, routes, limits and counts are those of
 * any request of theirs. A conversation that is too long for the model is asked again with fewer of its turns.
 */
import type { AddonContext, Answer, JsonObject, Message, ServeContext } from "llmproxy"
import { contextOf } from "llmproxy/targets"
import { contextsIn, MODEL_CONTEXT } from "../shared/context-size.ts"
import { PROFILE_ALIAS } from "../shared/listed-names.ts"
import type { OPTIONS } from "./options.ts"
import { promptLimit, requestOf, windowOf } from "./window.ts"

/** Milliseconds that the list of models may take. */
const LIST_MS = 10_000
/** Milliseconds that the first of it counts. */
const FIRST_MS = 60_000
/** How often a conversation that is too long is asked again. */
const TRIES_MAX = 3
/** What remains of a limit that was too much, where nobody says what would fit. */
const SHRINK = 0.5
/** Clients of whom something is remembered. */
const REMEMBERED_MAX = 10_000
/** Of the request for /answer, what goes on with it. */
const FIELDS = ["x-llmproxy-profile", "x-llmproxy-upstream", "x-llmproxy-route"]

export interface Question {
  readonly owner: string
  readonly caller: ServeContext
  readonly request: Request
  /** The last one is what is asked now. */
  readonly messages: readonly Message[]
  readonly stream: boolean
}

type Context = Pick<AddonContext<typeof OPTIONS>, "send" | "clock" | "tokens" | "options" | "log">

export class Asker {
  readonly #context: Context
  /** The first model of the list, by client. */
  readonly #first = new Map<string, { readonly model: string; readonly until: number }>()
  /** What the model takes that has answered a client last. */
  readonly #contexts = new Map<string, number>()

  constructor(context: Context) {
    this.#context = context
  }

  /** Resolves when the answer has begun, or, without `stream`, is there; be it good or not. */
  async ask(question: Question): Promise<Answer> {
    const { owner, messages, caller, stream } = question
    const { options, send, tokens, log } = this.#context
    const model = options.model ?? (await this.#firstModel(question))
    const headers = fieldsOf(question.request)
    let limit = this.#limitFor(owner)
    for (let tries = 1; ; tries++) {
      const window = await windowOf(messages, limit, tokens)
      const json: JsonObject = { model, messages: window.messages, ...(stream ? { stream } : {}) }
      const until = stream ? "delta" : "end"
      const answer = await send(
        { json, headers },
        { url: "/v1/chat/completions", until, caller, signal: caller.signal },
      )
      const { failure, flow } = answer
      const context = failure?.error?.overflow?.limit ?? MODEL_CONTEXT.of(flow) ?? contextOf(flow)
      if (context !== undefined) remember(this.#contexts, owner, context)
      if (failure?.error?.kind !== "context_length" || tries >= TRIES_MAX) return answer
      const sent = (await tokens.countRequest(requestOf(window.messages))).tokens
      const known = context === undefined ? undefined : promptLimit(context)
      // Its tokens are not ours: what we count as fitting and does not, becomes less.
      limit = known !== undefined && known < sent ? known : Math.floor(sent * SHRINK)
      const next = await windowOf(messages, limit, tokens)
      if (next.messages.length >= window.messages.length) return answer
      log.info(`a conversation of ${messages.length} messages is too long for its model: ${next.left} are left out`)
      answer.abort()
    }
  }

  /** The gateway's list; a failure's message where there is none. */
  async models(caller: ServeContext): Promise<string[] | string> {
    const options = { url: "/v1/models", until: "end", timeoutMs: LIST_MS, caller, signal: caller.signal } as const
    const answer = await this.#context.send({ method: "GET" }, options)
    if (answer.failure !== undefined) return answer.failure.message
    try {
      // Its clients name a profile beside the model.
      return [...contextsIn(JSON.parse(await answer.text())).keys()].filter((id) => !id.startsWith(PROFILE_ALIAS))
    } catch {
      return "what came is no list of models"
    }
  }

  #limitFor(owner: string): number | undefined {
    const { tokens } = this.#context.options
    if (tokens > 0) return tokens
    const context = this.#contexts.get(owner)
    return context === undefined ? undefined : promptLimit(context)
  }

  /** "": none is known; a profile may name one. */
  async #firstModel({ owner, caller }: Question): Promise<string> {
    const now = this.#context.clock.monotonic()
    const known = this.#first.get(owner)
    if (known !== undefined && now < known.until) return known.model
    const models = await this.models(caller)
    const model = typeof models === "string" ? undefined : models[0]
    if (model === undefined) return ""
    remember(this.#first, owner, { model, until: now + FIRST_MS })
    return model
  }
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  if (map.size >= REMEMBERED_MAX) map.clear()
  map.set(key, value)
}

function fieldsOf(request: Request): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const name of FIELDS) {
    const value = request.headers.get(name)
    if (value !== null) fields[name] = value
  }
  return fields
}
