/**
 * A flow in the hands of one addon: what its hooks get. It does nothing by itself, but it knows whose it is, at any
 * time and from any place (a timer, a transform): whose answer is held, who sent a child flow, and whose time stands
 * still while we are waited for. None of that can be told from the hook that happens to run.
 */

import type {
  Answer,
  ChunkTransform,
  ClientInfo,
  Completion,
  CompletionChange,
  DialectName,
  Flow,
  FlowLlm,
  FlowRequest,
  FlowResponse,
  FlowSnapshot,
  FlowTimings,
  FlowWebSocket,
  JsonValue,
  Pairs,
  Reply,
  RespondOptions,
  Routed,
  RouteSpec,
  SendOptions,
  SendRequest,
  SetCookie,
  StreamTransform,
  UpstreamInfo,
  Usage,
} from "../../api/flow.ts"
import { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import {
  describeFailure,
  HANDED_TO,
  type Handed,
  type HookBudget,
  HookWait,
  isThenable,
  type LoadedAddon,
  type ScopeView,
  type Sender,
} from "../../loader/chain.ts"
import { type FlowRequestState, OriginalRequest } from "./request.ts"
import type { FlowResponseState } from "./response.ts"

/** The flow behind it, which knows the requests, responses and flows that addons' own are made of. */
export interface ViewedFlow extends Flow {
  readonly parent: ViewedFlow | undefined
  readonly turn: { readonly number: number; readonly socket: ViewedFlow } | undefined
  readonly request: FlowRequestState
  readonly response: FlowResponseState | undefined
  readonly original: OriginalRequest
  viewFor(addon: LoadedAddon): AddonFlow
  respond(replyOrAnswer: Reply | Answer, options?: RespondOptions): void
  send(request: SendRequest, options: SendOptions, sender?: Sender): Promise<Answer>
}

export class AddonFlow implements Flow, ScopeView, Sender, Handed {
  readonly addon: LoadedAddon
  /** Of the hook that runs; the chain's to set. */
  budget: HookBudget | undefined
  readonly #flow: ViewedFlow
  #request: AddonRequest | undefined
  #response: AddonResponse | undefined
  #original: OriginalRequest | undefined

  constructor(flow: ViewedFlow, addon: LoadedAddon) {
    this.#flow = flow
    this.addon = addon
  }

  get id(): string {
    return this.#flow.id
  }
  get parent(): Flow | undefined {
    return this.#flow.parent?.viewFor(this.addon)
  }
  get turn(): Flow["turn"] {
    const { turn } = this.#flow
    return turn && { number: turn.number, socket: turn.socket.viewFor(this.addon) }
  }
  get client(): ClientInfo {
    return this.#flow.client
  }
  get server(): UpstreamInfo | undefined {
    return this.#flow.server
  }
  get request(): FlowRequest {
    this.#request ??= new AddonRequest(this.#flow.request, this)
    return this.#request
  }
  get response(): FlowResponse | undefined {
    const { response } = this.#flow
    if (response === undefined) return undefined
    // An answer that takes a held one's place is another response.
    if (this.#response?.of !== response) this.#response = new AddonResponse(response, this)
    return this.#response
  }
  get original(): Flow["original"] {
    // What is decided by the head as it came (who the client is, whose a credential is) no addon can change.
    this.#original ??= new OriginalRequest(this.#flow.original)
    return this.#original
  }
  get metadata(): Record<string, unknown> {
    return this.#flow.metadata
  }
  get baseUrl(): boolean {
    return this.#flow.baseUrl
  }
  get signal(): AbortSignal {
    return this.#flow.signal
  }
  get onClientGone(): Flow["onClientGone"] {
    return this.#flow.onClientGone
  }
  set onClientGone(what: Flow["onClientGone"]) {
    this.#flow.onClientGone = what
  }
  get clientGone(): boolean {
    return this.#flow.clientGone
  }
  get localOnly(): boolean {
    return this.#flow.localOnly
  }
  get routed(): Routed | undefined {
    return this.#flow.routed
  }
  get error(): Flow["error"] {
    return this.#flow.error
  }
  get timings(): FlowTimings {
    return this.#flow.timings
  }
  get llm(): FlowLlm | undefined {
    return this.#flow.llm
  }
  get websocket(): FlowWebSocket | undefined {
    return this.#flow.websocket
  }
  get dialect(): DialectName | undefined {
    return this.#flow.dialect
  }
  get unparsed(): string | undefined {
    return this.#flow.unparsed
  }

  respond(replyOrAnswer: Reply | Answer, options?: RespondOptions): void {
    this.#flow.respond(replyOrAnswer, options)
  }
  route(spec: RouteSpec): void {
    this.#flow.route(spec)
  }
  keepLocal(reason: string, urls?: readonly string[]): void {
    this.#flow.keepLocal(reason, urls)
  }
  send(request: SendRequest, options: SendOptions): Promise<Answer> {
    return this.wait(this.#flow.send(request, options, this))
  }
  addUsage(usage: Usage): void {
    this.#flow.addUsage(usage)
  }
  keepAlive(note?: string): () => void {
    return this.#flow.keepAlive(note)
  }
  waitFor<T>(promise: PromiseLike<T>): Promise<T> {
    return this.wait(this.#flow.waitFor(promise))
  }
  kill(reason?: string): void {
    this.#flow.kill(reason)
  }
  pause(): Promise<void> {
    return this.wait(this.#flow.pause())
  }
  resume(): void {
    this.#flow.resume()
  }
  snapshot(): FlowSnapshot {
    return this.#flow.snapshot()
  }

  [HANDED_TO](addon: LoadedAddon): AddonFlow {
    return this.#flow.viewFor(addon)
  }

  /** What `promise` becomes. Who awaits it waits for us, a client or an upstream: the addon's time stands still. */
  wait<T>(promise: Promise<T>): Promise<T> {
    return new HookWait(promise, () => this.budget)
  }
}

class AddonRequest implements FlowRequest {
  readonly #of: FlowRequestState
  readonly #flow: AddonFlow

  constructor(of: FlowRequestState, flow: AddonFlow) {
    this.#of = of
    this.#flow = flow
  }

  get method(): string {
    return this.#of.method
  }
  set method(value: string) {
    this.#of.method = value
  }
  get scheme(): "http" | "https" {
    return this.#of.scheme
  }
  set scheme(value: "http" | "https") {
    this.#of.scheme = value
  }
  get host(): string {
    return this.#of.host
  }
  set host(value: string) {
    this.#of.host = value
  }
  get port(): number {
    return this.#of.port
  }
  set port(value: number) {
    this.#of.port = value
  }
  get path(): string {
    return this.#of.path
  }
  set path(value: string) {
    this.#of.path = value
  }
  get query(): Pairs {
    return this.#of.query
  }
  get cookies(): Pairs {
    return this.#of.cookies
  }
  get url(): string {
    return this.#of.url
  }
  set url(value: string) {
    this.#of.url = value
  }
  get version(): string {
    return this.#of.version
  }
  get headers(): Headers {
    return this.#of.headers
  }
  get text(): string {
    return this.#of.text
  }
  set text(value: string) {
    this.#of.text = value
  }
  get bytes(): Buffer {
    return this.#of.bytes
  }
  set bytes(value: Uint8Array) {
    this.#of.bytes = value
  }
  json(): JsonValue {
    return this.#of.json()
  }
  formData(): Promise<FormData> {
    return this.#of.formData()
  }
  setFormData(form: FormData): Promise<void> {
    return this.#of.setFormData(form)
  }
  collect(): Promise<void> {
    return this.#flow.wait(this.#of.collect())
  }
}

class AddonResponse implements FlowResponse {
  readonly of: FlowResponseState
  readonly #flow: AddonFlow

  constructor(of: FlowResponseState, flow: AddonFlow) {
    this.of = of
    this.#flow = flow
  }

  get status(): number {
    return this.of.status
  }
  set status(value: number) {
    this.of.status = value
  }
  get reason(): string {
    return this.of.reason
  }
  set reason(value: string) {
    this.of.reason = value
  }
  get headers(): Headers {
    return this.of.headers
  }
  get cookies(): readonly SetCookie[] {
    return this.of.cookies
  }
  get text(): string {
    return this.of.text
  }
  set text(value: string) {
    this.of.text = value
  }
  get bytes(): Buffer {
    return this.of.bytes
  }
  set bytes(value: Uint8Array) {
    this.of.bytes = value
  }
  get truncated(): boolean {
    return this.of.truncated
  }
  json(): JsonValue {
    return this.of.json()
  }
  get completion(): Completion | undefined {
    return this.of.completion
  }
  set completion(change: CompletionChange) {
    this.of.completion = change
  }
  keep(maxBytes: number): void {
    this.of.keep(maxBytes)
  }
  collect(): Promise<void> {
    return this.#flow.wait(this.of.collect())
  }
  transform(fn: ChunkTransform): void {
    this.of.transform(fn)
  }
  transformDeltas(fn: StreamTransform): void {
    const { addon } = this.#flow
    this.of.transformDeltas((delta, end) => {
      try {
        const made = fn(delta, end)
        if (!isThenable(made)) return made
        made.then(undefined, () => {})
        throw new TypeError("it is asynchronous; a stream does not wait for what a delta becomes")
      } catch (thrown) {
        const text = describeFailure(addon, "transformDeltas", thrown)
        const told = `addon "${addon.name}": transformDeltas failed; the log of llmproxy has the reason`
        throw new FlowError("addon", "transform-failed", text, { cause: thrown, told })
      }
    })
  }
  hold(): void {
    this.of.hold(this.#flow.addon)
  }
}
