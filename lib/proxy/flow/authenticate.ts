/**
 * Who asks, told by an addon before any other hook of a request: for flows by exchange.ts, for what addons serve by the
 * session. A hook that fails refuses the request, whatever its addon's `onError` says: nobody comes in by an accident.
 */
import type { AuthenticateHookInfo } from "../../api/hooks.ts"
import { FlowError } from "../../base/errors.ts"
import { type HookChain, type HookScope, reportFailure } from "../../loader/chain.ts"
import type { ClientStream } from "../streams.ts"
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

/** Asks about a flow that a client has begun: what an addon has sent, and turns, are their first flow's client's. */
export async function authenticateFlow(flow: FlowState): Promise<void> {
  const { client, request, chain, core } = flow
  if (!(client instanceof ClientView)) return
  const asked = new Asked(client, request)
  await run(asked, chain, core)
  asked.isOver = true
  if (asked.refusal === undefined) return
  const { status, message } = asked.refusal
  flow.respond({ status, headers: challengeOf(status), error: { code: "unauthenticated", message } })
}

export function isAuthenticated({ chain, origin, isSent }: FlowState): boolean {
  return chain.has("authenticate") && !isSent && origin.turn === undefined
}

/** The same for a request that becomes no flow: the user that was named, if one was, or the error for the client. */
export async function authenticateServed(
  stream: ClientStream,
  chain: HookChain,
  core: ExchangeCore,
): Promise<string | undefined | FlowError> {
  if (!chain.has("authenticate")) return undefined
  const { head, connection } = stream
  const client = new ClientView(core, connection, head.headers.clone())
  const asked = new Asked(client, head)
  await run(asked, chain, core)
  asked.isOver = true
  if (asked.refusal === undefined) return client.user
  const { status, message } = asked.refusal
  return new FlowError("client", "unauthenticated", message, { status })
}

/** A 401 has to say how (RFC 9110 section 15.5.2). */
function challengeOf(status: number): [string, string][] {
  return status === 401 ? [["WWW-Authenticate", 'Bearer realm="llmproxy"']] : []
}

class Asked implements AuthenticateHookInfo {
  readonly client: ClientView
  readonly request: AuthenticateHookInfo["request"]
  refusal: Refusal | undefined
  /** The hooks have run: what is said now would be of a request that is on its way. */
  isOver = false

  constructor(client: ClientView, request: AuthenticateHookInfo["request"]) {
    this.client = client
    this.request = request
  }

  get isAnswered(): boolean {
    return this.refusal !== undefined || this.client.user !== undefined
  }

  // Bound, as hooks take them out of their argument.
  readonly identify = (user: string, label?: string): void => {
    this.#checkTime("identify")
    for (const text of [user, label])
      if (text !== undefined && (typeof text !== "string" || text === "" || text.length > NAME_CHARS_MAX))
        throw new TypeError(`identify() takes a name and a label of 1 to ${NAME_CHARS_MAX} characters`)
    this.client.name(user, label)
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

function run(asked: Asked, chain: HookChain, { log }: ExchangeCore): void | Promise<void> {
  const scope: HookScope = {
    viewFor: () => undefined,
    stopped: () => asked.isAnswered,
    failed(addon, hook, error) {
      reportFailure(log, addon, hook, error)
      // Nothing of the reason for the client: it is not known who that is.
      const message = `addon "${addon.name}" failed to tell who asks`
      throw new FlowError("addon", "addon-failed", message, { status: 500, cause: error })
    },
  }
  return chain.run("authenticate", scope, asked)
}
