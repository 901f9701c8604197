/**
 * The conductor: sends each chat request to a local model if it fits there, else lets it pass to the cloud, and says
 * which and why. What fails locally before the first word goes to the cloud instead.
 *
 * This file is the way of a request, top to bottom; each step is a file in conductor/. Requests for anything but a
 * chat pass untouched, save that a base-URL request gets its key (credentials.ts): /v1/completions too, because who
 * sends a raw prompt has chosen a model's own format. It answers requests, so addons that change or refuse them stand
 * before it.
 */
import {
  type AddonContext,
  type Answer,
  type Completion,
  defineAddon,
  type Flow,
  type LlmFlow,
  type TokenCount,
  type Usage,
} from "llmproxy"
import { answerFilter } from "./conductor/answer-filter.ts"
import { type Credentials, credentials, staysAtDoor } from "./conductor/credentials.ts"
import { type Room, roomFor, tooLong, whyCloud, whyLocal } from "./conductor/decision.ts"
import { type HostFacts, keyFields, LocalHosts, whyFailed } from "./conductor/local-host.ts"
import { askedTokens, localRequest, type Obstacle, obstacleIn } from "./conductor/local-request.ts"
import { asksForModels, listModels } from "./conductor/models.ts"
import { localBase, OPTIONS } from "./conductor/options.ts"
import { join, linesIn, type Place } from "./conductor/queue.ts"

const WAITING = "waiting for the local host"
const IS_OLLAMA =
  "the local host is Ollama, which would put its own template around a raw prompt; set conductor.localApi=messages"

export default defineAddon({
  name: "conductor",
  options: OPTIONS,
  setup(context) {
    const { options, tokens } = context
    const conductor = new Conductor(context)
    return {
      configure() {
        localBase(options) // Throws where it is none, at start as well as when an option changes.
        conductor.hosts.forget()
      },
      running() {
        void tokens.warm() // Not waited for: the first request may, a start may not.
      },
      // What is none of its business costs a flow no promise.
      requestHeaders(flow) {
        if (!asksForModels(flow)) return
        const local = { base: localBase(options), key: options.localKey }
        return listModels(flow, local, conductor.keys)
      },
      request: (flow) => conductor.keys.admit(flow),
      llmRequest: (flow) => (conductor.isOurs(flow) ? conductor.conduct(flow) : undefined),
      response: (flow) => conductor.ended(flow),
      error: (flow) => conductor.ended(flow),
    }
  },
})

/** What a client gets that cannot be helped: an error of its dialect. */
interface Refusal {
  readonly status: number
  readonly error: { code: string; message: string; type?: string; param?: string }
}

class Conductor {
  readonly keys: Credentials
  readonly hosts: LocalHosts
  readonly #context: AddonContext<typeof OPTIONS>
  readonly #lines: ReturnType<typeof linesIn>
  /** The place in a line that a flow has, until its answer is delivered or has failed. */
  readonly #places = new WeakMap<Flow, Place>()

  constructor(context: AddonContext<typeof OPTIONS>) {
    this.#context = context
    this.keys = credentials(context.options)
    this.hosts = new LocalHosts(context.options)
    this.#lines = linesIn(context.state)
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
      this.#toCloud(flow, "the conductor failed", undefined, {
        status: 500,
        error: { code: "conductor_failed", message, type: "api_error" },
      })
    }
  }

  /** The flow has ended, one way or the other. */
  ended(flow: Flow): void {
    this.#places.get(flow)?.leave()
  }

  async #decide(flow: LlmFlow): Promise<void> {
    const { options, tokens } = this.#context
    const { request } = flow.llm
    const count = await flow.waitFor(tokens.countRequest(request))
    const room = roomFor(count.tokens, askedTokens(request), options)
    const obstacle = options.localApi === "messages" ? undefined : obstacleIn(request)
    if (obstacle !== undefined) {
      const message = unsupported(obstacle, options.localApi)
      const error = { code: "unsupported_parameter", message, param: obstacle.field }
      this.#toCloud(flow, `unsupported: ${obstacle.what}`, room, { status: 400, error })
    } else if (!room.fits) {
      const error = { code: "context_length_exceeded", message: tooLong(room), param: "messages" }
      this.#toCloud(flow, whyCloud(room), room, { status: 400, error })
    } else await this.#toLocal(flow, room, count)
  }

  /** Lets the request pass; where it may not, the client gets `refusal`. */
  #toCloud(flow: LlmFlow, reason: string, room: Room | undefined, refusal: Refusal): void {
    const { cloudModel } = this.#context.options
    const counted = room === undefined ? {} : { tokens: room.tokens }
    if (this.keys.usable(flow)) {
      flow.route({ name: "cloud", reason, ...counted })
      if (flow.baseUrl && cloudModel !== undefined) flow.llm.request.model = cloudModel
      return
    }
    flow.route({ name: "local", reason: `${reason}; no key for the cloud`, ...counted })
    flow.respond({ status: refusal.status, error: { type: "invalid_request_error", ...refusal.error } })
  }

  async #toLocal(flow: LlmFlow, room: Room, count: TokenCount): Promise<void> {
    const { options } = this.#context
    const base = localBase(options)
    const stopKeepAlive = flow.keepAlive(WAITING)
    const place = join(this.#lines, base, () => options.localConcurrency)
    this.#places.set(flow, place)
    await flow.waitFor(place.granted)
    const answer = await this.#askLocal(flow, base, room)
    if (typeof answer !== "string" && answer.failure === undefined) {
      flow.route({ name: "local", reason: whyLocal(room), tokens: room.tokens })
      flow.respond(answer, { usage: (completion) => this.#usageOf(completion, count) })
      return
    }
    place.leave()
    stopKeepAlive()
    this.#fallOver(flow, base, answer, room)
  }

  /** The local host's answer, good or not; a text says why it was not asked. */
  async #askLocal(flow: LlmFlow, base: string, room: Room): Promise<Answer | string> {
    const facts = await this.hosts.about(flow, base)
    if (typeof facts === "string") return facts
    const answer = await this.#askModel(flow, base, facts, room)
    if (typeof answer === "string" || answer.failure === undefined) return answer
    const isGone = answer.failure.error?.kind === "model_not_found"
    if (isGone || answer.failure.kind === "connect") this.hosts.forget()
    if (!isGone) return answer
    const anew = await this.hosts.about(flow, base)
    if (typeof anew === "string" || anew.model === facts.model) return answer
    answer.abort()
    return this.#askModel(flow, base, anew, room)
  }

  async #askModel(flow: LlmFlow, base: string, facts: HostFacts, { left }: Room): Promise<Answer | string> {
    const { localApi: api, localKey, localParams: params } = this.#context.options
    if (facts.isOllama && api === "completions") return IS_OLLAMA
    const { path, dialect, json } = localRequest(flow.llm.request, { api, model: facts.model, params, left })
    const accept = json.stream === true ? "text/event-stream" : "application/json"
    const headers = { Accept: accept, ...keyFields(localKey) }
    // Log probabilities and sound are in no delta: such an answer leaves as its own bytes.
    const asIs = api === "messages" && (Boolean(json.logprobs) || json.audio !== undefined)
    const transform = asIs ? {} : { transform: answerFilter(api === "completions") }
    return flow.send({ headers, json }, { url: base + path, dialect, ...transform })
  }

  /** The local host failed before the client saw a word of its answer. */
  #fallOver(flow: LlmFlow, base: string, answer: Answer | string, room: Room): void {
    const why = typeof answer === "string" ? answer : whyFailed(answer)
    const failure = typeof answer === "string" ? undefined : answer.failure
    const reason = answer === IS_OLLAMA ? why : `local host failed before the first token: ${why}`
    if (typeof answer !== "string") answer.abort()
    this.#context.log.warn(`${base}: ${reason}`)
    const message = `llmproxy: ${base}: ${reason}. Mend or start the local host, or set OPENAI_API_KEY to use the cloud.`
    const isOverflow = failure?.error?.kind === "context_length"
    const status = failure !== undefined && failure.status >= 400 ? failure.status : 502
    this.#toCloud(
      flow,
      reason,
      room,
      isOverflow
        ? { status: 400, error: { code: "context_length_exceeded", message, param: "messages" } }
        : { status, error: { code: "local_host_failed", message, type: "api_error" } },
    )
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

function unsupported({ field, what }: Obstacle, api: string): string {
  return (
    `llmproxy: ${field}: ${what} cannot be sent to the local host while conductor.localApi is ${api}. ` +
    "Leave it out, set conductor.localApi=messages, or set OPENAI_API_KEY to use the cloud."
  )
}
