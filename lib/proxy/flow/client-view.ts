/**
 * The client of a flow as addons see it, told lazily: most flows are never asked who it was.
 */
import type { ClientInfo } from "../../api/flow.ts"
import type { Headers } from "../../base/headers.ts"
import type { JsonObject } from "../../base/json.ts"
import { isForOtherSite } from "../access/access.ts"
import { clientAddress } from "../access/forwarded.ts"
import type { ClientLink, Identity } from "../streams.ts"
import type { ExchangeCore } from "./core.ts"

export class ClientView implements ClientInfo {
  readonly #core: ExchangeCore
  readonly #connection: ClientLink
  /** As it came: addons change the request's own, and drop credentials there. */
  readonly #head: Headers
  #id: string | undefined
  #named: Identity | undefined

  constructor(core: ExchangeCore, connection: ClientLink, head: Headers) {
    this.#core = core
    this.#connection = connection
    this.#head = head
    this.#named = connection.identity
  }

  get id(): string {
    this.#id ??= this.#core.identify(this.#connection, this.#head)
    return this.#id
  }
  get user(): string | undefined {
    return this.#named?.user
  }
  get label(): string | undefined {
    return this.#named?.label
  }
  get claims(): JsonObject | undefined {
    return this.#named?.claims
  }
  get address(): string {
    return clientAddress(this.#connection, this.#head, this.#core.settings)
  }
  get port(): number {
    return this.#connection.port
  }
  get mayUseKeys(): boolean {
    const { fromOpenListener, user } = this.#connection
    const isKnown = user !== undefined || this.#named !== undefined
    return (!fromOpenListener || isKnown) && !isForOtherSite(this.#head, this.#core.settings)
  }
  get tls(): ClientInfo["tls"] {
    return this.#connection.tls
  }

  /** Whom an addon has named. */
  get identity(): Identity | undefined {
    return this.#named
  }

  /** For authenticate.ts alone. */
  name(identity: Identity): void {
    this.#named = identity
  }
}
