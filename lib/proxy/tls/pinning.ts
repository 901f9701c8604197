/**
 * Clients that do not accept our certificate. Each is named in one line with what to do about it; with
 * `passthroughPinned` its further connections to that host are relayed unseen for a while, so that a program that pins
 * its server's certificate works on. Which program it was cannot be known: an address stands for all of its programs.
 */
import { LRUCache } from "lru-cache"
import type { Clock } from "../../base/clock.ts"
import type { Logger } from "../../base/log.ts"
import { hostAndPort } from "../io/authority.ts"

/** For so long a host is relayed unseen, and no second line is logged of it. */
const REMEMBERED_MS = 600_000
const REMEMBERED_MAX = 1_000
/** So often in a row without a byte between, and it is our certificate. */
const SUSPICIONS = 2

export interface PinnedHost {
  /** The client's. */
  readonly address: string
  readonly host: string
  readonly port: number
}

interface Known {
  suspicions: number
  /** Monotonic milliseconds; undefined: it was suspected only. */
  rejectedAt: number | undefined
}

export class Pinning {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #passthrough: boolean
  readonly #known = new LRUCache<string, Known>({ max: REMEMBERED_MAX })

  constructor(clock: Clock, log: Logger, passthrough: boolean) {
    this.#clock = clock
    this.#log = log
    this.#passthrough = passthrough
  }

  /** Whether this connection is to be relayed unseen. */
  isPinned(client: PinnedHost): boolean {
    if (!this.#passthrough) return false
    const known = this.#known.peek(keyOf(client))
    return known !== undefined && this.#isFresh(known)
  }

  /** The client broke off the handshake because of our certificate; `how`: in which words. */
  rejected(client: PinnedHost, how: string): void {
    const known = this.#of(client)
    if (this.#isFresh(known)) return
    known.rejectedAt = this.#clock.monotonic()
    const { address, host, port } = client
    // The name came from the client, and the line may be pasted into a shell.
    const pattern = /^[\w.:-]+$/.test(host) ? `'^${host.replaceAll(".", "\\.")}:'` : "RE"
    const then = this.#passthrough ? `; for ${REMEMBERED_MS / 60_000} minutes it is relayed unseen` : ""
    this.#log.warn(
      `${address}: does not accept our certificate for ${hostAndPort(host, port)} (${how})${then}; make this client ` +
        `trust llmproxy's CA (see \`llmproxy ca trust\`), or, if it pins, leave the host alone: --ignore-hosts ${pattern}`,
    )
  }

  /**
   * The client left right after the handshake, without a byte: Node's clients check the certificate then. Browsers
   * also do it to connections that they made ahead of need, so once means nothing.
   */
  leftSilently(client: PinnedHost): void {
    const known = this.#of(client)
    known.suspicions++
    if (known.suspicions >= SUSPICIONS) this.rejected(client, "it leaves after each handshake and says nothing")
  }

  /** The client has sent something: it accepts our certificate. */
  accepted(client: PinnedHost): void {
    if (this.#known.size > 0) this.#known.delete(keyOf(client))
  }

  #isFresh({ rejectedAt }: Known): boolean {
    return rejectedAt !== undefined && this.#clock.monotonic() - rejectedAt < REMEMBERED_MS
  }

  #of(client: PinnedHost): Known {
    const key = keyOf(client)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const fresh: Known = { suspicions: 0, rejectedAt: undefined }
    this.#known.set(key, fresh)
    return fresh
  }
}

function keyOf({ address, host, port }: PinnedHost): string {
  return `${address} ${host} ${port}`
}
