/**
 * What addons send by themselves, from a timer or a job: flows like any other, whose client is the addon. Nobody asked for
 * them, so nobody is asked who that is, and no rule of access counts; every other addon sees them. They are bounded by
 * number, and end with the proxy.
 */
import type { Answer, ClientInfo, SendOptions, SendRequest } from "../../api/flow.ts"
import { FlowError } from "../../base/errors.ts"
import type { HookChain, Sender } from "../../loader/chain.ts"
import type { ExchangeCore } from "../flow/core.ts"
import type { ClientLink } from "../streams.ts"
import { type Sent, sendNow } from "./send.ts"

/** Flows of one addon, by its name, that run at a time; or of one request that it serves, of which they are. An answer that is neither read nor aborted is one of them. */
export const OWN_FLOWS_MAX = 256

export class AddonSends {
  /** The proxy that they go through, where the program has one for its clients: of the first listener in mode upstream. */
  via: string | undefined
  readonly #core: ExchangeCore
  readonly #chain: () => HookChain
  readonly #onEmpty: () => void
  /** By the addon's name; those that it sends for a client by that client's request. */
  readonly #running = new Map<string | ClientInfo, Set<Sent>>()
  #isClosed = false

  /** `chain`: of flows that begin now. `onEmpty` is called whenever the last one has ended. */
  constructor(core: ExchangeCore, chain: () => HookChain, onEmpty: () => void) {
    this.#core = core
    this.#chain = chain
    this.#onEmpty = onEmpty
  }

  get isEmpty(): boolean {
    return this.#running.size === 0
  }

  /**
   * Resolves as `flow.send` does. Rejects with a FlowError when nothing can be sent any more, or too much is under way.
   * `client`: whose flow it is; undefined: the addon's own.
   */
  async send(sender: Sender, request: SendRequest, options: SendOptions, client?: ClientInfo): Promise<Answer> {
    const { name } = sender.addon
    const whose = client ?? name
    const where = `addon "${name}": send ${options.url}`
    if (this.#isClosed) throw stopped(where)
    if ((this.#running.get(whose)?.size ?? 0) >= OWN_FLOWS_MAX) {
      const what = `${OWN_FLOWS_MAX} flows that it has sent run, the limit; read each answer to its end or abort it`
      throw new FlowError("addon", "too-many-flows", `${where}: ${what}`)
    }
    const chain = this.#chain().without(sender.addon)
    const origin = { addon: name, client }
    const connection = new AddonLink(name, this.via)
    const sent = sendNow({ core: this.#core, connection, chain, origin, sender }, request, options)
    const running = this.#running.get(whose) ?? new Set<Sent>()
    this.#running.set(whose, running.add(sent))
    void sent.ended.then(() => {
      running.delete(sent)
      if (running.size === 0) this.#running.delete(whose)
      if (this.isEmpty) this.#onEmpty()
    })
    return sent.answered()
  }

  /** From now on nothing is sent. */
  close(): void {
    this.#isClosed = true
  }

  /** Ends those that run. */
  abort(): void {
    for (const running of this.#running.values()) for (const sent of running) sent.stop(stopped("send"))
  }
}

function stopped(where: string): FlowError {
  return new FlowError("llmproxy", "stopped", `${where}: the proxy has stopped`)
}

let lastId = 0

/** The connection of a client that is none. */
class AddonLink implements ClientLink {
  readonly id: number
  readonly address = ""
  readonly port = 0
  /** Basic authentication knows no name with a colon, so that no client's is the same. */
  readonly user: string
  readonly tls = undefined
  readonly fromOpenListener = false
  readonly reverse = false
  readonly tunnelSni = undefined
  readonly via: string | undefined
  readonly proxied = false
  readonly connectTo = undefined
  bound: ClientLink["bound"]

  constructor(addon: string, via: string | undefined) {
    lastId -= 1
    this.id = lastId
    this.user = `addon:${addon}`
    this.via = via
  }

  onBoundLost(): void {}
}
