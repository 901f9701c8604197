/**
 * Who asks, told by an addon before any other hook of a request: for flows by exchange.ts, for tunnels and what addons serve
 * by the session. A hook that fails refuses the request, whatever its addon's `onError` says: nobody comes in by an accident.
 */
import type { ClientInfo } from "../../api/flow.ts"
import type { AuthenticateHookInfo } from "../../api/hooks.ts"
import { addonFailure, FlowError, retryFields } from "../../base/errors.ts"
import { isObject, type JsonObject } from "../../base/json.ts"
import { type HookChain, type HookScope, type LoadedAddon, reportFailure } from "../../loader/chain.ts"
import { CHALLENGE } from "../access/access.ts"
import type { ClientLink, ClientStream, Identity } from "../streams.ts"
import { ClientView } from "./client-view.ts"
import type { ExchangeCore } from "./core.ts"
import type { FlowState } from "./state.ts"

interface Refusal {
  /** Of a final response. */
  readonly status: number
  readonly message: string
}

/** Characters of a name or a label: they are kept with each flow. */
const NAME_CHARS_MAX = 256

/**
 * Asks about a flow that a client has begun: what an addon has sent, and turns, are their first flow's client's. No promise is
 * made where no addon waits for anything.
 */
export function authenticateFlow(flow: FlowState): void | Promise<void> {
  const { client, request, chain, core } = flow
  if (!(client instanceof ClientView)) return undefined
  const asked = new Asked(client, "request", request)
  const waiting = run(asked, core, (scope) => chain.run("authenticate", scope, asked))
  return waiting instanceof Promise ? waiting.then(() => refuse(flow, asked)) : refuse(flow, asked)
}

function refuse(flow: FlowState, asked: Asked): void {
  if (asked.refusal === undefined) return
  const { chain } = flow
  const { message } = asked.refusal
  // Whoever asks a proxy takes a 401 for its server's.
  const isProxied = flow.connection.proxied && !flow.baseUrl && chain.asksEverywhere
  const status = isProxied ? proxyStatus(asked.refusal.status) : asked.refusal.status
  flow.respond({ status, headers: challengeOf(status), error: { code: "unauthenticated", message } })
}

export function isAuthenticated({ chain, origin, isSent }: FlowState): boolean {
  return chain.has("authenticate") && !isSent && origin.turn === undefined
}

/** Whether the addons are to be asked about what becomes no flow: "everywhere" asks those alone that want to be. */
export type Asks = "always" | "everywhere" | "never"

/** The same for a request that becomes no flow: its client, named or not, or the error for it. */
export async function authenticateServed(
  stream: ClientStream,
  chain: HookChain,
  core: ExchangeCore,
  asks: Asks,
): Promise<ClientInfo | FlowError> {
  const { head, connection } = stream
  const client = new ClientView(core, connection, head.headers.clone())
  const isAsked = asks === "always" ? chain.has("authenticate") : asks === "everywhere" && chain.asksEverywhere
  if (!isAsked) return client
  const asked = new Asked(client, "request", head)
  await run(asked, core, (scope) => chain.run("authenticate", scope, asked))
  return asked.refusal === undefined ? client : errorOf(asked.refusal)
}

/** What opens a tunnel: the head of a CONNECT, or what stands for it. */
export interface TunnelAsk {
  readonly via: "connect" | "socks"
  readonly connection: ClientLink
  readonly request: AuthenticateHookInfo["request"]
}

/** The same for a tunnel, of the addons that ask everywhere: whom they name, or the error (407) for the client. */
export async function authenticateTunnel(
  { via, connection, request }: TunnelAsk,
  chain: HookChain,
  core: ExchangeCore,
): Promise<Identity | undefined | FlowError> {
  const client = new ClientView(core, connection, request.headers.clone())
  const asked = new Asked(client, via, request)
  const isMeant = ({ asks }: LoadedAddon) => asks === "everywhere"
  await run(asked, core, (scope) => chain.runFor(isMeant, "authenticate", scope, asked))
  if (asked.refusal === undefined) return client.identity
  const { status, message } = asked.refusal
  return errorOf({ status: proxyStatus(status), message })
}

function errorOf({ status, message }: Refusal): FlowError {
  return new FlowError("client", "unauthenticated", message, { status })
}

function proxyStatus(status: number): number {
  return status === 401 ? 407 : status
}

/** A 401 has to say how (RFC 9110 section 15.5.2), and so has a 407 (section 15.5.8); a 503 says when. */
function challengeOf(status: number): [string, string][] {
  if (status === 407) return [["Proxy-Authenticate", CHALLENGE]]
  return status === 401 ? [["WWW-Authenticate", 'Bearer realm="llmproxy"']] : retryFields(status)
}

class Asked implements AuthenticateHookInfo {
  readonly client: ClientView
  readonly via: AuthenticateHookInfo["via"]
  readonly request: AuthenticateHookInfo["request"]
  refusal: Refusal | undefined
  #isNamed = false
  /** The hooks have run: what is said now would be of a request that is on its way. */
  isOver = false

  constructor(client: ClientView, via: AuthenticateHookInfo["via"], request: AuthenticateHookInfo["request"]) {
    this.client = client
    this.via = via
    this.request = request
  }

  get isAnswered(): boolean {
    return this.refusal !== undefined || this.#isNamed
  }

  // Bound, as hooks take them out of their argument.
  readonly identify = (user: string, label?: string, claims?: JsonObject): void => {
    this.#checkTime("identify")
    for (const text of [user, label])
      if (text !== undefined && (typeof text !== "string" || text === "" || text.length > NAME_CHARS_MAX))
        throw new TypeError(`identify() takes a name and a label of 1 to ${NAME_CHARS_MAX} characters`)
    if (claims !== undefined && !isObject(claims)) throw new TypeError("identify() takes claims that are a JSON object")
    this.#isNamed = true
    this.client.name({ user, label, claims })
  }

  readonly refuse = (status: number, message: string): void => {
    this.#checkTime("refuse")
    if (!Number.isInteger(status) || status < 400 || status > 599)
      throw new RangeError(`refuse(): status ${status} is none of an error; write 400 to 599`)
    if (typeof message !== "string" || message === "")
      throw new TypeError(
        'refuse() takes a status and a message for the client, as in refuse(401, "this key is not known")',
      )
    this.refusal = { status, message }
  }

  #checkTime(call: string): void {
    if (this.isAnswered) throw new Error(`${call}() comes too late: this client has been named or refused already`)
    if (this.isOver) throw new Error(`${call}() comes too late: await what it needs within authenticate`)
  }
}

function run(
  asked: Asked,
  { log }: ExchangeCore,
  hooks: (scope: HookScope) => void | Promise<void>,
): void | Promise<void> {
  const scope: HookScope = {
    viewFor: () => undefined,
    stopped: () => asked.isAnswered,
    failed(addon, hook, error) {
      reportFailure(log, addon, hook, error)
      // Nothing of the reason for the client: it is not known who that is.
      const message = `addon "${addon.name}" failed to tell who asks`
      throw addonFailure("addon-failed", message, message, error)
    },
  }
  const over = () => {
    asked.isOver = true
  }
  const waiting = hooks(scope)
  return waiting instanceof Promise ? waiting.then(over) : over()
}
