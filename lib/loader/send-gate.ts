/**
 * `send` of one version of an addon. It knows whose it is from wherever it is called, and when it may be: from `running` on.
 * With a parent it is that flow's own `send` in this addon's hands, and lasts as long as the flow; without one it is the
 * program's, which is a flow of nobody's client, until the version is replaced.
 */
import type { OwnSendOptions, Send } from "../api/addon.ts"
import type { Answer, ClientInfo, Flow, SendOptions, SendRequest } from "../api/flow.ts"
import { CALLER, type ServeContext } from "../api/serve.ts"
import { FlowError } from "../base/errors.ts"
import { HANDED_TO, type Handed, HookWait, type LoadedAddon, type ScopeView, type Sender } from "./chain.ts"

/** Sends what belongs to no flow, for a client or for nobody. Rejects when the proxy does not run (any more). */
export type SendService = (
  sender: Sender,
  request: SendRequest,
  options: SendOptions,
  client: ClientInfo | undefined,
) => Promise<Answer>

export class SendGate {
  /** The version in its hooks that belong to no flow, as `running`: it has one of them at a time. */
  readonly life: ScopeView = { budget: undefined }
  readonly #name: string
  /** Ends with the version. */
  readonly #signal: AbortSignal
  readonly #service: SendService | undefined
  #sender: Sender | undefined

  constructor(name: string, signal: AbortSignal, service: SendService | undefined) {
    this.#name = name
    this.#signal = signal
    this.#service = service
  }

  /** The proxy listens, and `addon` takes part. */
  begin(addon: LoadedAddon): void {
    this.#sender ??= { addon, wait: (promise) => new HookWait(promise, () => this.life.budget) }
  }

  // No async function: what it gave to be awaited later would be awaited at once, and stop the time of the hook that runs.
  readonly send: Send = (request, options) => {
    try {
      const { parent, caller, ...further } = options
      if (parent === undefined) return this.#sendAlone(request, further, this.#clientOf(caller))
      if (caller !== undefined) throw new TypeError(`${this.#where}: it has a parent or a caller, not both`)
      return this.#sendFrom(parent, request, further)
    } catch (thrown) {
      return Promise.reject(thrown)
    }
  }

  #sendFrom(parent: Flow, request: SendRequest, options: OwnSendOptions): Promise<Answer> {
    if (!isHanded(parent)) throw new TypeError(`${this.#where}: parent is no flow; write the one that a hook was given`)
    return parent[HANDED_TO](this.#present.addon).send(request, this.#checked(options))
  }

  #clientOf(caller: ServeContext | undefined): ClientInfo | undefined {
    if (caller === undefined) return undefined
    const client = typeof caller === "object" && caller !== null ? caller[CALLER] : undefined
    if (client !== undefined) return client
    throw new TypeError(`${this.#where}: caller is no context of a handler of serve; write the one that it was given`)
  }

  #sendAlone(request: SendRequest, options: OwnSendOptions, client: ClientInfo | undefined): Promise<Answer> {
    const sender = this.#present
    const service = this.#service
    if (service === undefined) throw this.#tooEarly
    // Who answers a request does so to its end, on the version that it began with.
    if (this.#signal.aborted && client === undefined) {
      const why =
        "this version of the addon has ended; what one of its flows still needs is sent with that flow as `parent`"
      throw new FlowError("addon", "send-too-late", `${this.#where}: ${why}`)
    }
    return sender.wait(service(sender, request, this.#checked(options), client))
  }

  get #present(): Sender {
    if (this.#sender === undefined) throw this.#tooEarly
    return this.#sender
  }

  #checked(options: SendOptions): SendOptions {
    if (typeof options.url === "string") return options
    throw new TypeError(`${this.#where}: there is no url; write { url: "https://..." }`)
  }

  get #tooEarly(): FlowError {
    const why = "the proxy does not listen yet; send from the hook `running` on (a command runs without a proxy)"
    return new FlowError("addon", "send-too-early", `${this.#where}: ${why}`)
  }

  get #where(): string {
    return `addon "${this.#name}": send`
  }
}

function isHanded(parent: unknown): parent is Handed {
  return typeof parent === "object" && parent !== null && HANDED_TO in parent
}
