/**
 * What other rooms see of a flow, and what every flow shares: a child flow, a WebSocket and a session work with these and
 * not with how an exchange stands. FlowState implements the one, the server makes the other.
 */
import type { Duplex } from "node:stream"
import type { Answer, FlowWebSocket, SendOptions, SendRequest } from "../../api/flow.ts"
import type { Clock } from "../../base/clock.ts"
import type { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import type { Logger } from "../../base/log.ts"
import type { Redactor } from "../../base/secrets/redactor.ts"
import type { HookChain, HookScope, LoadedAddon, Sender } from "../../loader/chain.ts"
import type { ClientDelivery } from "../body/client-delivery.ts"
import type { Drains } from "../body/drains.ts"
import type { MemoryBudget, MemoryShare } from "../body/memory.ts"
import type { ProxySettings } from "../settings.ts"
import type { ClientLink } from "../streams.ts"
import type { Upstream } from "../upstream/pool.ts"
import type { AddonFlow, ViewedFlow } from "./addon-flow.ts"
import type { Locality } from "./locality.ts"

/** What every exchange shares. */
export interface ExchangeCore {
  readonly upstream: Upstream
  readonly settings: ProxySettings
  readonly clock: Clock
  readonly log: Logger
  readonly memory: MemoryBudget
  /** Answers whose clients have left. */
  readonly drains: Drains
  /** Takes secrets out of what clients are told in our own words. */
  readonly redactor: Redactor
  /** Who the client is, told from the head as it came; see ClientInfo.id. */
  identify(connection: ClientLink, head: Headers): string
  /** Sends a child flow. `sender`: in whose hands the parent was; undefined: nobody's. */
  send(parent: FlowCore, request: SendRequest, options: SendOptions, sender: Sender | undefined): Promise<Answer>
  /** Delivers a 101 and joins what is behind it. Resolves when both sides have ended; rejects with the flow's error. */
  upgrade(flow: FlowCore, upstream: () => Duplex, client: ClientDelivery): Promise<void>
}

export interface FlowCore extends ViewedFlow, HookScope {
  readonly core: ExchangeCore
  readonly chain: HookChain
  readonly memory: MemoryShare
  readonly locality: Locality
  /** The connection of the client that all of it is for. */
  readonly connection: ClientLink
  readonly parent: FlowCore | undefined
  /** Its last hook has run. */
  readonly ended: boolean
  unparsed: string | undefined
  websocket: FlowWebSocket | undefined
  viewFor(addon: LoadedAddon): AddonFlow
  /** It has a child more, until `ended` resolves. */
  hasChild(ended: Promise<void>): void
  /** The flow breaks off: everything that runs for it is told at once. Only the first reason counts. */
  fail(reason: FlowError): void
  /** Throws the flow's error, if it has one: called after each wait. */
  check(): void
  /** What `promise` becomes, or the flow's error as soon as it has one. */
  orFail<T>(promise: PromiseLike<T>): Promise<T>
  /** Calls `listener` when the flow fails or ends; at once if it has. What is returned takes the listener back. */
  onFail(listener: (reason: FlowError) => void): () => void
}
