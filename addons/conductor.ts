/**
 * The conductor: sends each chat request to a local model if it fits there, else lets it pass to the cloud, and says
 * which and why. What fails locally before the first word goes to the cloud instead.
 *
 * This file is the way of a request, top to bottom; each step is a file in conductor/. Requests for anything but a
 * chat pass untouched, save that a base-URL request gets its key (credentials.ts): /v1/completions too, because who
 * sends a raw prompt has chosen a model's own format. It answers requests, so addons that change or refuse them stand
 * before it. It brings the re-query, and what writes Pythagora-LLM-Proxy's files where somebody has named some.
 */
import {
  type AddonContext,
  type Completion,
  defineAddon,
  type Flow,
  isPlaceholderKey,
  type LlmFlow,
  type TokenCount,
  type Usage,
} from "llmproxy"
import { type Credentials, credentials, staysAtDoor } from "./conductor/credentials.ts"
import { type Room, tooLong, whyCloud, whyLocal } from "./conductor/decision.ts"
import { LocalAttempts, type Miss, type Ticket } from "./conductor/local-attempts.ts"
import { obstacleFor } from "./conductor/local-form.ts"
import { askedTokens } from "./conductor/local-request.ts"
import { asksForModels, listModels } from "./conductor/models.ts"
import { localBases, OPTIONS } from "./conductor/options.ts"
import {
  badWish,
  failed,
  failedByAddon,
  missed,
  noKey,
  noModel,
  overflow,
  type Refusal,
  unsupported,
} from "./conductor/refusal.ts"
import {
  checkModelMap,
  hasBody,
  isChat,
  isUnreadJson,
  modelsIn,
  takeWish,
  type Wish,
  whyBound,
  wishFor,
} from "./conductor/routing.ts"
import { sayConducting } from "./shared/conducting.ts"
import { IS_EMPTY, ROUTES } from "./shared/local-answers.ts"

/** Why a request stays that may be for a model that never leaves. */
const UNREAD = "localModels has models, and which one this is for cannot be read"
const WAITING = "waiting for the local host"

export default defineAddon({
  name: "conductor",
  options: OPTIONS,
  givesKeys: ({ cloudKey }) => cloudKey !== undefined && !isPlaceholderKey(cloudKey.trim()),
  addons: ({ requery, pythagoraFiles }) => [
    ...(requery ? ["./requery.ts"] : []),
    ...(pythagoraFiles ? ["./pythagora-files.ts"] : []),
  ],
  setup(context) {
    const { events, options, tokens } = context
    const conductor = new Conductor(context)
    return {
      load: () => sayConducting(events),
      async configure() {
        localBases(options) // Throws where one is none, at start as well as when an option changes.
        checkModelMap(options.modelMap)
        conductor.forget()
        await conductor.checkTemplate()
        await conductor.useVocabularies()
      },
      running() {
        void tokens.warm() // Not waited for: the first request may, a start may not.
      },
      // What is none of its business costs a flow no promise.
      requestHeaders(flow) {
        takeWish(flow)
        conductor.knowLocals(flow)
        if (!asksForModels(flow)) return
        return listModels(flow, { bases: localBases(options), key: options.localKey }, conductor.keys)
      },
      request(flow) {
        const admit = () => {
          conductor.bindUnread(flow)
          conductor.keys.admit(flow)
        }
        const reading = conductor.readModel(flow)
        return reading === undefined ? admit() : reading.then(admit)
      },
      llmRequest(flow) {
        conductor.bind(flow)
        return conductor.isOurs(flow) ? conductor.conduct(flow) : undefined
      },
      response: (flow) => conductor.ended(flow),
      error: (flow) => conductor.ended(flow),
      done: () => conductor.close(),
    }
  },
})

class Conductor {
  readonly keys: Credentials
  readonly #local: LocalAttempts
  readonly #context: AddonContext<typeof OPTIONS>

  constructor(context: AddonContext<typeof OPTIONS>) {
    this.#context = context
    this.keys = credentials(context.options)
    this.#local = new LocalAttempts(context)
  }

  /** What was found out may be true no longer. */
  forget(): void {
    this.#local.hosts.forget()
    this.#local.forms.forget()
  }

  /** Rejects where `template` can be right on no host. */
  checkTemplate(): Promise<void> {
    return this.#local.forms.check()
  }

  /** Rejects where one of the files that `tokenizer` names cannot be used: at start as well as when it changes. */
  useVocabularies(): Promise<void> {
    return this.#local.vocabularies.use(this.#context.options.tokenizer)
  }

  close(): Promise<void> {
    return this.#local.vocabularies.close()
  }

  /** What has to stay on this machine may go to our hosts, too. */
  knowLocals(flow: Flow): void {
    if (flow.localOnly && flow.parent === undefined) this.#keep(flow, "its client wants it")
  }

  /** What is for a model that never leaves stays, in every dialect and whatever host it was meant for. */
  bind(flow: LlmFlow): void {
    if (flow.parent === undefined) this.#bindTo(flow, flow.llm.request.model)
  }

  /** Reads a body that is in no dialect (embeddings, counts, images) and may name such a model. Never rejects. */
  readModel(flow: Flow): Promise<void> | undefined {
    if (!this.#mayStay(flow) || !this.#mayNameModel(flow)) return undefined
    return flow.request.collect().catch(() => {}) // What cannot be read is kept below.
  }

  /** The same before a body is understood, and where none is, as on a WebSocket: it may be for such a model. */
  bindUnread(flow: Flow): void {
    if (!this.#mayStay(flow)) return
    const models = modelsIn(flow)
    for (const model of models) this.#bindTo(flow, model)
    const isUnread = isChat(flow) || (this.#mayNameModel(flow) && isUnreadJson(flow))
    if (models.length === 0 && isUnread) this.#keep(flow, UNREAD)
  }

  #mayStay(flow: Flow): boolean {
    return this.#context.options.localModels.length > 0 && flow.parent === undefined
  }

  #mayNameModel(flow: Flow): boolean {
    return hasBody(flow) && (flow.baseUrl || this.#context.options.hosts.includes(flow.request.host))
  }

  #bindTo(flow: Flow, model: string): void {
    const why = whyBound(model, this.#context.options)
    if (why !== undefined) this.#keep(flow, why)
  }

  #keep(flow: Flow, why: string): void {
    flow.keepLocal(why, localBases(this.#context.options))
  }

  /** Whether this addon decides where the request goes: not if another one has, and not for flows of other addons. */
  isOurs(flow: LlmFlow): boolean {
    if (flow.llm.dialect !== "openai-chat" || flow.parent !== undefined || flow.routed?.url !== undefined) return false
    return flow.baseUrl ? staysAtDoor(flow) : this.#context.options.hosts.includes(flow.request.host)
  }

  async conduct(flow: LlmFlow): Promise<void> {
    try {
      await this.#decide(flow)
    } catch (thrown) {
      if (flow.error !== undefined) throw thrown // The client has left.
      // A fault of this addon must not send to the cloud what may not go there.
      const message = `llmproxy: the conductor failed: ${thrown instanceof Error ? thrown.message : String(thrown)}`
      this.#context.log.error(message)
      this.#toCloud(flow, "the conductor failed", undefined, failed(message))
    }
  }

  /** The flow has ended, one way or the other. */
  ended(flow: Flow): void {
    this.#local.leave(flow)
  }

  async #decide(flow: LlmFlow): Promise<void> {
    const { options, tokens } = this.#context
    const { request } = flow.llm
    const { localModels } = options
    if (localModels.length > 0 && request.model === "") return this.#refuse(flow, UNREAD, undefined, noModel(UNREAD))
    const wish = wishFor(flow, request.model, options)
    if (typeof wish === "string") return this.#refuse(flow, `no such route: ${wish}`, undefined, badWish(wish))
    if (wish?.route === "cloud") return this.#toCloud(flow, wish.why, undefined, noKey(wish.why))
    const count = await flow.waitFor(tokens.countRequest(request))
    const isForced = wish !== undefined
    const mayLeave = !flow.localOnly && this.keys.usable(flow)
    const ticket: Ticket = { count, asked: askedTokens(request), isForced, mayLeave }
    const room = this.#local.roomBefore(flow, ticket)
    const obstacle = obstacleFor(request, options.localApi)
    if (obstacle !== undefined) {
      const reason = `unsupported: ${obstacle.what}`
      this.#toCloud(flow, reason, count.tokens, unsupported(obstacle, options.localApi, flow.localOnly), wish)
    } else if (room !== undefined && !room.fits) {
      this.#toCloud(flow, whyCloud(room), count.tokens, overflow(tooLong(room, flow.localOnly)), wish)
    } else await this.#toLocal(flow, ticket, wish)
  }

  async #toLocal(flow: LlmFlow, ticket: Ticket, wish: Wish | undefined): Promise<void> {
    const { count } = ticket
    const stopKeepAlive = flow.keepAlive(WAITING)
    const taken = await this.#local.take(flow, ticket)
    if ("answer" in taken) {
      const { answer, empty, room, base } = taken
      const reason = [wish?.why, whyLocal(room), this.#isAmongMany ? base : undefined].filter(Boolean).join("; ")
      flow.route({ name: ROUTES.local, reason, tokens: count.tokens })
      if (empty !== undefined) {
        IS_EMPTY.write(flow, true)
        flow.respond({ completion: empty })
      } else flow.respond(answer, { usage: (completion) => this.#usageOf(completion, count) })
      return
    }
    stopKeepAlive()
    const stopped = taken.find(({ failure }) => failure?.kind === "addon")?.failure
    if (stopped !== undefined) return this.#refuse(flow, stopped.message, count.tokens, failedByAddon(stopped.message))
    const reason = this.#whyMissed(taken)
    this.#toCloud(flow, reason, count.tokens, missed(taken, reason, flow.localOnly), wish)
  }

  get #isAmongMany(): boolean {
    return localBases(this.#context.options).length > 1
  }

  /** Lets the request pass; where it may not, the client gets `refusal`. */
  #toCloud(flow: LlmFlow, reason: string, tokens: number | undefined, refusal: Refusal, wish?: Wish): void {
    const { cloudModel } = this.#context.options
    if (flow.localOnly) this.#refuse(flow, wish === undefined ? reason : `${wish.why}; ${reason}`, tokens, refusal)
    else if (!this.keys.usable(flow)) {
      const message = refusal.error.message + this.keys.dropped
      this.#refuse(flow, `${reason}; no key for the cloud`, tokens, {
        ...refusal,
        error: { ...refusal.error, message },
      })
    } else {
      flow.route({ name: ROUTES.cloud, reason, ...(tokens === undefined ? {} : { tokens }) })
      if (flow.baseUrl && cloudModel !== undefined) flow.llm.request.model = cloudModel
    }
  }

  #refuse(flow: LlmFlow, reason: string, tokens: number | undefined, { status, headers = {}, error }: Refusal): void {
    flow.route({ name: ROUTES.local, reason, ...(tokens === undefined ? {} : { tokens }) })
    flow.respond({ status, headers, error: { type: "invalid_request_error", ...error } })
  }

  /** Why no local host has answered, and a warning for those that failed just now. */
  #whyMissed(misses: readonly Miss[]): string {
    const { log } = this.#context
    for (const miss of misses)
      if (miss.kind === "failed" || miss.kind === "cut") log.warn(`${miss.base}: ${whyMissed(miss)}`)
    const [only] = misses
    if (only !== undefined && misses.length === 1) return whyMissed(only)
    return misses.map((miss) => `${new URL(miss.base).host}: ${whyMissed(miss)}`).join("; ")
  }

  /** For an answer that came without usage. */
  async #usageOf({ text, reasoning, toolCalls }: Completion, { tokens: inputTokens }: TokenCount): Promise<Usage> {
    const calls = toolCalls.map((call) => call.name + call.arguments)
    const outputTokens = await this.#context.tokens.countText([reasoning, text, ...calls].join(""))
    const totalTokens = inputTokens + outputTokens
    const unknown = { cachedTokens: undefined, reasoningTokens: undefined }
    return { inputTokens, outputTokens, totalTokens, ...unknown, source: "counted" }
  }
}

function whyMissed({ kind, why, room }: { kind: Miss["kind"]; why: string; room: Room }): string {
  if (kind === "small") return whyCloud(room)
  if (kind === "cut") return why
  return kind === "resting" ? `local host failed: ${why}` : whyFailed(why)
}

function whyFailed(why: string): string {
  return `local host failed before the first token: ${why}`
}
