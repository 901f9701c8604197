/**
 * The names that an upstream's own certificate is for (`mirrorSans`), for the few clients that look at more of a leaf
 * than the name that they asked for. Costs a connection of its own for each host, so what was learnt is kept.
 */
import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import { LRUCache } from "lru-cache"
import { certificateNames } from "../../../certs/key-pair.ts"
import type { Clock } from "../../base/clock.ts"
import { messageOf } from "../../base/errors.ts"
import type { Logger } from "../../base/log.ts"

const HOSTS_MAX = 1_000
const KEPT_MS = 3_600_000
/** A host that could not be asked is asked again after this. */
const RETRY_MS = 60_000

interface Learnt {
  readonly names: Promise<readonly string[]>
  /** Monotonic milliseconds. */
  until: number
}

export class UpstreamNames {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #learnt = new LRUCache<string, Learnt>({ max: HOSTS_MAX })

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  /**
   * The names in the certificate of the server that `dial` connects to; none where it cannot be reached or its
   * certificate is not trusted, because a leaf must not vouch for what nobody has vouched for. Never rejects.
   * `key`: the same for the same server; it is connected to once at a time.
   */
  of(key: string, dial: () => Promise<Socket>): Promise<readonly string[]> {
    const known = this.#learnt.get(key)
    if (known !== undefined && this.#clock.monotonic() < known.until) return known.names
    const learnt: Learnt = { names: this.#ask(key, dial), until: Number.POSITIVE_INFINITY }
    this.#learnt.set(key, learnt)
    void learnt.names.then((names) => {
      learnt.until = this.#clock.monotonic() + (names.length > 0 ? KEPT_MS : RETRY_MS)
    })
    return learnt.names
  }

  async #ask(key: string, dial: () => Promise<Socket>): Promise<readonly string[]> {
    try {
      const socket = await dial()
      const cert = socket instanceof TLSSocket && socket.authorized ? socket.getPeerX509Certificate() : undefined
      const names = cert === undefined ? [] : certificateNames(cert)
      socket.destroy()
      return names
    } catch (thrown) {
      this.#log.debug(`names of ${key}: ${messageOf(thrown)}`)
      return []
    }
  }
}
