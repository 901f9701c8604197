/**
 * A flow as addons see it (Flow), as the hook chain does (HookScope) and as other rooms do (FlowCore). What an addon asks
 * for is noted; exchange.ts and deliver.ts act on it. How the exchange stands is exchange-state.ts's, what may be asked
 * when life.ts's, where to route.ts's.
 */

import type {
  Answer,
  ClientInfo,
  DialectName,
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
} from "../../api/flow.ts"
import type { HookName } from "../../api/hooks.ts"
import { addonFailure, FlowError, isFlowError, messageOf } from "../../base/errors.ts"
import { uuidv7 } from "../../base/uuid.ts"
import type { HookChain, LoadedAddon, Sender } from "../../loader/chain.ts"
import { reportFailure } from "../../loader/chain.ts"
import { ClientDelivery } from "../body/client-delivery.ts"
import { Drain } from "../body/drains.ts"
import type { Incoming } from "../body/incoming.ts"
import { MemoryShare } from "../body/memory.ts"
import { type Dialect, dialectFor, type LlmState } from "../body/observe.ts"
import type { ClientLink, ClientStream } from "../streams.ts"
import { Route } from "../upstream/route.ts"
import { AddonFlow } from "./addon-flow.ts"
import { ClientView } from "./client-view.ts"
import type { ExchangeCore, FlowCore } from "./core.ts"
import { ENDED, ExchangeState } from "./exchange-state.ts"
import { Locality } from "./locality.ts"
import { asReplied, type Replied } from "./replied.ts"
import { FlowRequestState, OriginalRequest } from "./request.ts"
import type { FlowResponseState } from "./response.ts"
import { snapshotOf } from "./snapshot.ts"

/** Mutable timings, in milliseconds since `start`. */
type Marks = { -readonly [K in keyof FlowTimings]: FlowTimings[K] }

/** What a flow is that does not come from a client's own request. */
export interface FlowOrigin {
  /** An addon has sent it from this one. */
  readonly parent?: FlowCore
  /** The addon of this name has sent it by itself, for nobody's request. */
  readonly addon?: string
  /** For whom that addon has sent it; undefined: for nobody. */
  readonly client?: ClientInfo | undefined
  /** It is a turn: see Flow.turn. */
  readonly turn?: FlowState["turn"]
  /** What it speaks, where its path does not say it. */
  readonly dialect?: Dialect | undefined
  readonly route?: Route
  /** How its upstream is asked, where not by a request of its own: a turn's is a message. */
  ask?(flow: FlowState): Promise<Incoming>
}

const CLIENTS: FlowOrigin = {}

export class FlowState implements FlowCore {
  readonly core: ExchangeCore
  readonly chain: HookChain
  readonly client: ClientInfo
  readonly origin: FlowOrigin
  /** How it stands; for the flow's own files. */
  readonly exchange: ExchangeState
  readonly request: FlowRequestState
  readonly original: OriginalRequest
  readonly metadata: Record<string, unknown> = Object.create(null)
  readonly baseUrl: boolean
  readonly memory: MemoryShare
  readonly locality = new Locality(this)
  readonly timings: Marks
  readonly sizes = { request: 0, response: 0 }
  turn: { readonly number: number; readonly socket: FlowCore } | undefined
  server: UpstreamInfo | undefined
  response: FlowResponseState | undefined
  llm: LlmState | undefined
  websocket: FlowWebSocket | undefined
  unparsed: string | undefined
  /** Its client has left, and it runs on without: the connection's to set. */
  onLetGo: (() => void) | undefined
  #id: string | undefined
  #startMonotonic: number
  #pauses: (() => void)[] | undefined
  /** One for each addon that has a hook of this flow: chains are short. */
  #views: AddonFlow[] | undefined

  constructor(core: ExchangeCore, client: ClientStream, chain: HookChain, origin: FlowOrigin = CLIENTS) {
    this.core = core
    this.chain = chain
    this.origin = origin
    this.turn = origin.turn
    this.baseUrl = client.baseUrl
    this.memory = new MemoryShare(core.memory)
    this.request = new FlowRequestState(client, this.memory, core.settings.bodyLimit)
    this.original = new OriginalRequest(this.request)
    // A child's is its parent's, a turn's its connection's.
    const from = origin.parent ?? origin.turn?.socket
    this.client = from?.client ?? origin.client ?? new ClientView(core, client.connection, this.original.headers)
    this.exchange = new ExchangeState(new ClientDelivery(client, core.clock, core.settings.keepAliveMs), origin.route)
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

  get parent(): FlowCore | undefined {
    return this.origin.parent
  }

  /** An addon has sent it: what it asks for is no client's wish. */
  get isSent(): boolean {
    return this.origin.parent !== undefined || this.origin.addon !== undefined
  }

  get connection(): ClientLink {
    return this.exchange.delivery.client.connection
  }

  get ended(): boolean {
    return this.exchange.phase === "ended"
  }

  get error(): FlowError | undefined {
    return this.exchange.error
  }

  get signal(): AbortSignal {
    return this.exchange.signal
  }

  respond(replyOrAnswer: Reply | Answer, options: RespondOptions = {}): void {
    if (this.exchange.allows("respond")) this.exchange.reply(asReplied(replyOrAnswer, options))
  }

  /** What `respond` was given, until the exchange takes it. */
  get replied(): Replied | undefined {
    return this.exchange.replied
  }

  route(spec: RouteSpec): void {
    if (spec.url !== undefined) this.exchange.allows("route")
    this.exchange.route = Route.chosen(this.exchange.route, spec, this.request.url)
  }

  get routed(): Routed | undefined {
    return this.exchange.route?.routed
  }

  /** Whether its route leads away from the connection on which the client asks. */
  get isRoutedAway(): boolean {
    return this.exchange.route?.leaves(this.original.url) === true
  }

  get localOnly(): boolean {
    return this.locality.reason !== undefined
  }

  keepLocal(reason: string, urls: readonly string[] = []): void {
    if (this.exchange.allows("keepLocal")) this.locality.bind(reason, urls)
  }

  /** What the client speaks, told by the path that it asked for, whatever addons made of it. */
  get clientDialect(): Dialect | undefined {
    if (this.llm !== undefined) return this.llm.dialectOf
    const { method, path } = this.exchange.delivery.client.head
    return this.origin.dialect ?? dialectFor(method, path) ?? dialectFor(this.request.method, this.request.path)
  }

  get dialect(): DialectName | undefined {
    return this.clientDialect?.name
  }

  noteUsage(usage: Usage): void {
    this.exchange.answerUsage = usage
  }

  /** `sender`: in whose hands the flow was; undefined: nobody's. */
  async send(request: SendRequest, options: SendOptions, sender?: Sender): Promise<Answer> {
    if (!this.exchange.allows("send")) throw ENDED
    return this.core.send(this, request, options, sender)
  }

  addUsage(usage: Usage): void {
    this.exchange.spent = [...this.exchange.spent, usage]
    const { exchange, llm } = this
    // Who holds an answer may hand it on changed: it has its own cost until all are told.
    if (exchange.told && llm?.completion !== undefined) llm.completion = exchange.counted(llm.completion)
  }

  keepAlive(note = "keep-alive"): () => void {
    // A WebSocket stays open by itself, and has no comments.
    if (this.llm?.streams !== true || this.turn !== undefined) return () => {}
    const { delivery } = this.exchange
    delivery.keepAlive(this.llm.format, this.core.redactor.text(note))
    return () => delivery.letBe()
  }

  kill(reason = "killed by an addon"): void {
    this.fail(new FlowError("addon", "killed", reason))
  }

  pause(): Promise<void> {
    this.#pauses ??= []
    const pauses = this.#pauses
    return this.waitFor(new Promise<void>((resolve) => pauses.push(resolve)))
  }

  waitFor<T>(promise: PromiseLike<T>): Promise<T> {
    return this.orFail(promise)
  }

  resume(): void {
    for (const resolve of this.#pauses?.splice(0) ?? []) resolve()
  }

  snapshot(): FlowSnapshot {
    return snapshotOf(this)
  }

  orFail<T>(promise: PromiseLike<T>): Promise<T> {
    return this.exchange.orFail(promise)
  }

  onFail(listener: (reason: FlowError) => void): () => void {
    return this.exchange.onFail(listener)
  }

  fail(reason: FlowError): void {
    this.exchange.fail(reason)
  }

  /** Nobody waits for the answer any more: the flow fails, unless its answer has been delivered whole. */
  leave(reason: FlowError): void {
    this.exchange.leave(reason)
  }

  get onClientGone(): "abort" | "drain" {
    return this.exchange.onClientGone
  }

  set onClientGone(what: "abort" | "drain") {
    if (what !== "abort" && what !== "drain") throw new TypeError(`flow.onClientGone: write "abort" or "drain"`)
    if (this.exchange.phase !== "request" && what !== this.exchange.onClientGone)
      throw new Error("flow.onClientGone comes too late: the request has been sent")
    this.exchange.onClientGone = what
  }

  get clientGone(): boolean {
    return this.exchange.drain !== undefined || this.error?.code === "client-gone"
  }

  hasChild(ended: Promise<void>): void {
    this.exchange.children++
    void ended.then(() => this.exchange.children--)
  }

  /**
   * The client has left. True: the answer is read on, for those who want to know its end; the client's connection has done
   * with it.
   */
  drains(reason: FlowError): boolean {
    const { exchange, core } = this
    if (exchange.drain !== undefined) return true
    const isClients = this.parent === undefined && this.turn === undefined && reason.code === "client-gone"
    if (!isClients || !exchange.isDrainable || !core.drains.hasRoom) return false
    const drain = new Drain(reason, core.settings, core.clock, (why) => this.fail(why))
    exchange.drain = drain
    core.drains.add(drain)
    exchange.delivery.letGo(reason)
    this.onLetGo?.()
    return true
  }

  check(): void {
    const { error } = this.exchange
    if (error !== undefined) throw error
  }

  mark(what: "requestMs" | "responseHeadMs" | "firstDeltaMs" | "endMs"): void {
    this.timings[what] ??= this.core.clock.monotonic() - this.#startMonotonic
  }

  /** Milliseconds since the request was whole. */
  elapsedSinceRequest(): number {
    return this.core.clock.monotonic() - this.#startMonotonic - (this.timings.requestMs ?? 0)
  }

  /** The flow's last hook has run: what it holds is given back, what it sent and did not use is aborted. */
  finish(): void {
    const { delivery, drain } = this.exchange
    delivery.stop()
    if (drain !== undefined) this.core.drains.delete(drain)
    this.memory.release()
    this.exchange.advance("end")
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
    return this.replied !== undefined || this.exchange.error !== undefined
  }

  replacing(): Promise<void> | undefined {
    return this.stopped() && this.error === undefined ? this.exchange.arrival?.replace() : undefined
  }

  failed(addon: LoadedAddon, hook: HookName, error: unknown): void {
    // What an addon sees when it waits for a flow that has failed is no failure of the addon.
    if (error === this.error && error !== undefined) return
    reportFailure(this.core.log, addon, hook, error)
    if (addon.onError !== "block" || hook === "error" || hook === "response" || hook === "websocketEnd") return
    // What the addon asked for and could not have (a body that is too large, an upstream that is cut) is not its fault.
    const foreign = isFlowError(error) && error.source !== "addon"
    const what = `addon "${addon.name}" failed in ${hook}, and the request was stopped`
    const told = `${what}; the log of llmproxy has the reason`
    const reason = foreign ? error : addonFailure("addon-failed", `${what}: ${messageOf(error)}`, told, error)
    // Nobody waits for llmDelta, so there is no run that could end.
    if (hook !== "llmDelta") throw reason
    this.fail(reason)
  }
}
