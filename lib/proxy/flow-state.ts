/**
 * A flow from the inside: what addons see (Flow) and what the exchange and the hook chain need beside it. What an
 * addon asks for is noted here; exchange.ts and deliver.ts act on it.
 */
import type { HookChain, LoadedAddon } from "../chain.ts"
import { describeFailure } from "../chain.ts"
import { FlowError, isFlowError, messageOf } from "../errors.ts"
import type {
  Answer,
  ClientInfo,
  FlowSnapshot,
  FlowTimings,
  FlowWebSocket,
  Reply,
  RespondOptions,
  Routed,
  RouteSpec,
  SendOptions,
  SendRequest,
  UpstreamInfo,
  Usage,
} from "../flow.ts"
import type { Headers } from "../headers.ts"
import type { HookName } from "../hooks.ts"
import { uuidv7 } from "../uuid.ts"
import { isForOtherSite } from "./access.ts"
import { AddonFlow } from "./addon-flow.ts"
import type { AnswerObserver } from "./answer-observer.ts"
import { ClientDelivery } from "./client-delivery.ts"
import type { ExchangeCore, FlowCore } from "./flow-core.ts"
import { FlowRequestState, OriginalRequest } from "./flow-request.ts"
import type { FlowResponseState } from "./flow-response.ts"
import { snapshotOf } from "./flow-snapshot.ts"
import type { Incoming } from "./incoming.ts"
import { Locality } from "./locality.ts"
import { MemoryShare } from "./memory.ts"
import { type Dialect, dialectFor, type LlmState } from "./observe.ts"
import { asReplied, type Replied } from "./replied.ts"
import { Route } from "./route.ts"
import type { ClientLink, ClientStream } from "./streams.ts"

/** What outlives its flow is told this. One error for all: making one costs more than parsing a head. */
const ENDED = new FlowError("llmproxy", "ended", "the flow that it belongs to has ended")

/** Mutable timings, in milliseconds since `start`. */
type Marks = { -readonly [K in keyof FlowTimings]: FlowTimings[K] }

export class FlowState implements FlowCore {
  readonly core: ExchangeCore
  readonly chain: HookChain
  /** A turn's is its connection's. */
  client: ClientInfo
  readonly delivery: ClientDelivery
  readonly parent: FlowCore | undefined
  readonly request: FlowRequestState
  readonly original: OriginalRequest
  readonly metadata: Record<string, unknown> = Object.create(null)
  readonly baseUrl: boolean
  readonly memory: MemoryShare
  readonly locality = new Locality(this)
  readonly timings: Marks
  readonly sizes = { request: 0, response: 0 }
  server: UpstreamInfo | undefined
  response: FlowResponseState | undefined
  llm: LlmState | undefined
  unparsed: string | undefined
  /** Where addons want it to go. */
  way: Route | undefined
  error: FlowError | undefined
  replied: Replied | undefined
  /** The dialect of a flow that an addon sent, where its path does not say it. */
  dialect: Dialect | undefined
  /** What an answer that was handed on cost: as its host said, or as it was counted. */
  answerUsage: Usage | undefined
  websocket: FlowWebSocket | undefined
  /** See Flow.turn. */
  turn: { readonly number: number; readonly socket: FlowCore } | undefined
  /** How this flow's upstream is asked, where not by a request of its own: a turn's is a message. */
  asking: ((flow: FlowState) => Promise<Incoming>) | undefined
  /** What was spent beside that: see `addUsage`. */
  readonly spent: Usage[] = []
  /** Those who hold the answer back, once they have been told what it means. */
  judges: ReadonlySet<LoadedAddon> | undefined
  /** Whether every addon has been told. */
  concluded = false
  /** Watches the answer while it is delivered. */
  observer: AnswerObserver | undefined
  /** Decides what it means that the client leaves: set while its answer is on its way. */
  onLeave: ((reason: FlowError) => void) | undefined
  /** `held`: the answer is complete and kept back, so `respond` may still put another in its place. */
  phase: "request" | "upstream" | "held" | "response" | "ended" = "request"
  #id: string | undefined
  #startMonotonic: number
  #abort: AbortController | undefined
  #onFail = new Set<(reason: FlowError) => void>()
  #pauses: (() => void)[] = []
  /** One for each addon that has a hook of this flow: chains are short. */
  #views: AddonFlow[] | undefined

  constructor(core: ExchangeCore, client: ClientStream, chain: HookChain, parent: FlowCore | undefined) {
    this.core = core
    this.chain = chain
    this.parent = parent
    this.baseUrl = client.baseUrl
    this.memory = new MemoryShare(core.memory)
    this.request = new FlowRequestState(client, this.memory, core.settings.bodyLimit)
    this.original = new OriginalRequest(this.request)
    this.client = parent?.client ?? new ClientView(core, client.connection, this.original.headers)
    this.delivery = new ClientDelivery(client, core.clock, core.settings.keepAliveMs)
    this.#startMonotonic = core.clock.monotonic()
    this.timings = {
      start: core.clock.now(),
      requestMs: undefined,
      responseHeadMs: undefined,
      firstDeltaMs: undefined,
      endMs: undefined,
    }
  }

  get id(): string {
    this.#id ??= uuidv7(this.timings.start)
    return this.#id
  }

  get connection(): ClientLink {
    return this.delivery.client.connection
  }

  get ended(): boolean {
    return this.phase === "ended"
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.error !== undefined) this.#abort.abort(this.error)
    }
    return this.#abort.signal
  }

  respond(replyOrAnswer: Reply | Answer, options: RespondOptions = {}): void {
    if (this.error !== undefined || this.phase === "ended") return
    if (this.phase !== "request" && this.phase !== "held")
      throw new Error("flow.respond() comes too late: the request has been sent; hold the answer to replace it")
    const replied = asReplied(replyOrAnswer, options)
    const before = this.replied?.kind === "answer" ? this.replied.answer : undefined
    if (before !== undefined && before !== replyOrAnswer) before.abort()
    this.replied = replied
  }

  route(spec: RouteSpec): void {
    if (this.phase !== "request" && spec.url !== undefined)
      throw new Error("flow.route() comes too late: the request has been sent")
    this.way = Route.chosen(this.way, spec, this.request.url)
  }

  get routed(): Routed | undefined {
    return this.way?.routed
  }

  get localOnly(): boolean {
    return this.locality.reason !== undefined
  }

  keepLocal(reason: string, urls: readonly string[] = []): void {
    this.locality.bind(reason, urls)
  }

  /** What the client speaks, told by the path that it asked for, whatever addons made of it. */
  get clientDialect(): Dialect | undefined {
    if (this.llm !== undefined) return this.llm.dialectOf
    const { method, path } = this.delivery.client.head
    return this.dialect ?? dialectFor(method, path) ?? dialectFor(this.request.method, this.request.path)
  }

  noteUsage(usage: Usage): void {
    this.answerUsage = usage
  }

  /** `sender`: in whose hands the flow was; undefined: nobody's. */
  async send(request: SendRequest, options: SendOptions, sender?: AddonFlow): Promise<Answer> {
    if (this.phase === "ended") throw ENDED
    return this.core.send(this, request, options, sender)
  }

  addUsage(usage: Usage): void {
    this.spent.push(usage)
  }

  keepAlive(note = "keep-alive"): () => void {
    // A WebSocket stays open by itself, and has no comments.
    if (this.llm?.streams !== true || this.turn !== undefined) return () => {}
    this.delivery.keepAlive(this.llm.format, this.core.redactor.text(note))
    return () => this.delivery.letBe()
  }

  kill(reason = "killed by an addon"): void {
    this.fail(new FlowError("addon", "killed", reason))
  }

  pause(): Promise<void> {
    return this.waitFor(new Promise<void>((resolve) => this.#pauses.push(resolve)))
  }

  waitFor<T>(promise: PromiseLike<T>): Promise<T> {
    return this.orFail(promise)
  }

  /** What `promise` becomes, or the flow's error as soon as it has one. */
  async orFail<T>(promise: PromiseLike<T>): Promise<T> {
    let settled = () => {}
    try {
      return await new Promise<T>((resolve, reject) => {
        settled = this.onFail(reject)
        promise.then(resolve, reject)
      })
    } finally {
      settled()
    }
  }

  resume(): void {
    for (const resolve of this.#pauses.splice(0)) resolve()
  }

  snapshot(): FlowSnapshot {
    return snapshotOf(this)
  }

  /** The flow breaks off: everything that runs for it is told at once. Only the first reason counts. */
  fail(reason: FlowError): void {
    if (this.error !== undefined || this.phase === "ended") return
    this.error = reason
    this.#abort?.abort(reason)
    this.#tell(reason)
  }

  /** Nobody waits for the answer any more: the flow fails, unless its answer has been delivered whole. */
  clientLeft(reason: FlowError): void {
    if (this.onLeave === undefined) this.fail(reason)
    else this.onLeave(reason)
  }

  /** Calls `listener` when the flow fails or ends; at once if it has. What is returned takes the listener back. */
  onFail(listener: (reason: FlowError) => void): () => void {
    if (this.error !== undefined) listener(this.error)
    else if (this.phase === "ended") listener(ENDED)
    else this.#onFail.add(listener)
    return () => void this.#onFail.delete(listener)
  }

  #tell(reason: FlowError): void {
    const listeners = [...this.#onFail]
    this.#onFail.clear()
    for (const listener of listeners) listener(reason)
  }

  /** Throws the flow's error, if it has one: called after each wait. */
  check(): void {
    if (this.error !== undefined) throw this.error
  }

  mark(what: "requestMs" | "responseHeadMs" | "firstDeltaMs" | "endMs"): void {
    this.timings[what] ??= this.core.clock.monotonic() - this.#startMonotonic
  }

  /** Milliseconds since the request was whole. */
  elapsedSinceRequest(): number {
    return this.core.clock.monotonic() - this.#startMonotonic - (this.timings.requestMs ?? 0)
  }

  /** The request body could not be read to its end. */
  bodyFailed(thrown: Error): void {
    this.fail(
      thrown instanceof FlowError ? thrown : new FlowError("client", "bad-body", thrown.message, { cause: thrown }),
    )
  }

  /** The flow's last hook has run: what it holds is given back, what it sent and did not use is aborted. */
  finish(): void {
    this.phase = "ended"
    this.delivery.stop()
    this.memory.release()
    this.#tell(ENDED)
  }

  // HookScope

  viewFor(addon: LoadedAddon): AddonFlow {
    this.#views ??= []
    for (const view of this.#views) if (view.addon === addon) return view
    const view = new AddonFlow(this, addon)
    this.#views.push(view)
    return view
  }

  stopped(): boolean {
    return this.replied !== undefined || this.error !== undefined
  }

  failed(addon: LoadedAddon, hook: HookName, error: unknown): void {
    // What an addon sees when it waits for a flow that has failed is no failure of the addon.
    if (error === this.error && error !== undefined) return
    const line = describeFailure(addon, hook, error)
    this.core.log.error(line)
    if (addon.onError !== "block" || hook === "error" || hook === "response" || hook === "websocketEnd") return
    // What the addon asked for and could not have (a body that is too large, an upstream that is cut) is not its fault.
    const foreign = isFlowError(error) && error.source !== "addon"
    const message = `addon "${addon.name}" failed in ${hook}, and the request was stopped: ${messageOf(error)}`
    const reason = foreign ? error : new FlowError("addon", "addon-failed", message, { status: 500, cause: error })
    // Nobody waits for llmDelta, so there is no run that could end.
    if (hook !== "llmDelta") throw reason
    this.fail(reason)
  }
}

/** The client, told lazily: most flows are never asked who it was. */
class ClientView implements ClientInfo {
  readonly #core: ExchangeCore
  readonly #connection: ClientLink
  /** As it came: addons change the request's own, and drop credentials there. */
  readonly #head: Headers
  #id: string | undefined

  constructor(core: ExchangeCore, connection: ClientLink, head: Headers) {
    this.#core = core
    this.#connection = connection
    this.#head = head
  }

  get id(): string {
    this.#id ??= this.#core.identify(this.#connection, this.#head)
    return this.#id
  }
  get address(): string {
    return this.#connection.address
  }
  get port(): number {
    return this.#connection.port
  }
  get mayUseKeys(): boolean {
    const { fromOpenListener, user } = this.#connection
    return (!fromOpenListener || user !== undefined) && !isForOtherSite(this.#head, this.#core.settings)
  }
  get tls(): ClientInfo["tls"] {
    return this.#connection.tls
  }
}
