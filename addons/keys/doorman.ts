/**
 * Who a key is: looks at what a client shows and names or refuses it. Keys of ours are taken off the request, so that none
 * reaches an upstream; what else a client shows is not ours to take.
 */
import type { AuthenticateHookInfo, Clock, Headers } from "llmproxy"
import { allows } from "../shared/claims.ts"
import { BookLost, type Key, type KeyBook } from "./book.ts"
import type { Refusals } from "./refusals.ts"
import { hashOf, isOurs, isSameHash, type Shown, shownIn } from "./secret.ts"
import type { Tries } from "./tries.ts"

/** The same for every key that opens nothing, whatever is wrong with it. */
const UNKNOWN = "no valid API key was shown; send one as Authorization: Bearer KEY"

export type Found =
  | { readonly kind: "key"; readonly key: Key }
  | { readonly kind: "none" }
  | { readonly kind: "refused"; readonly status: number; readonly message: string }

export interface DoormanOptions {
  readonly book: KeyBook
  readonly tries: Tries
  readonly clock: Clock
  readonly refusals: Pick<Refusals, "count">
  /** The key that an option gives as the master's; undefined: it stands in the book. */
  master(): Key | undefined
}

export class Doorman {
  readonly #options: DoormanOptions

  constructor(options: DoormanOptions) {
    this.#options = options
  }

  /** Of a request or a tunnel; `identify` and `refuse` are called. */
  authenticate({ client, via, request, identify, refuse }: AuthenticateHookInfo): void | Promise<void> {
    const inherited = this.#options.book.of(client.claims)
    const judge = (found: Found) => {
      const { refusals } = this.#options
      if (found.kind === "refused") {
        refusals.count(found.status === 429 ? "slowed" : "database")
        return refuse(found.status, found.message)
      }
      if (found.kind === "none") {
        refusals.count("unknown")
        return refuse(401, UNKNOWN)
      }
      const { key } = found
      const forbidden = why(key, via, request)
      if (forbidden !== undefined) {
        refusals.count("scope")
        return refuse(403, forbidden)
      }
      this.#options.book.use(key)
      identify(key.owner ?? key.id, key.label, key.claims)
    }
    const found = this.find(request.headers, client.address, inherited)
    return found instanceof Promise ? found.then(judge) : judge(found)
  }

  /** The key that is shown; else the one of the tunnel in which it is asked, if that is valid still. */
  find(headers: Headers, address: string, inherited?: Key): Found | Promise<Found> {
    const shown = shownIn(headers)
    const [first] = shown
    // The usual case, without a wait: one credential, which is known.
    if (first !== undefined && shown.length === 1) {
      const known = this.#look(first.value)
      if (!(known instanceof Promise) && known !== undefined && this.#isValid(known)) {
        first.remove()
        return { kind: "key", key: known }
      }
    }
    if (first === undefined && inherited === undefined) return { kind: "none" }
    return this.#search(shown, address, inherited)
  }

  async #search(shown: readonly Shown[], address: string, inherited: Key | undefined): Promise<Found> {
    const { tries } = this.#options
    // Within a tunnel that was let in, what is not ours is the server's, and no try.
    if (inherited === undefined && !(await tries.enter(address)))
      return { kind: "refused", status: 429, message: "too many wrong keys from this address; wait a few seconds" }
    try {
      const ours: (Key | "unknown")[] = []
      for (const { value, remove } of shown) {
        const key = await this.#look(value)
        if (key === undefined && !isOurs(value)) continue
        remove()
        ours.push(key ?? "unknown")
      }
      const valid = ours.find((one) => one !== "unknown" && this.#isValid(one))
      if (valid !== undefined && valid !== "unknown") return { kind: "key", key: valid }
      if (ours.length === 0 && inherited !== undefined) {
        const present = await this.#look(inherited.hash, true)
        if (present !== undefined && this.#isValid(present)) return { kind: "key", key: present }
      }
      if (shown.length > 0) tries.failed(address)
      return { kind: "none" }
    } catch (thrown) {
      if (!(thrown instanceof BookLost)) throw thrown
      return { kind: "refused", status: 503, message: "keys cannot be looked up now; try again in a few seconds" }
    }
  }

  /** What this text opens; or the key whose hash it is. */
  #look(value: string, isHash = false): Key | undefined | Promise<Key | undefined> {
    const hash = isHash ? value : hashOf(value)
    const master = this.#options.master()
    if (master !== undefined && isSameHash(master.hash, hash)) return master
    return this.#options.book.find(hash)
  }

  #isValid(key: Key): boolean {
    const { revokedAt, expiresAt } = key
    if (revokedAt !== undefined || (expiresAt !== undefined && expiresAt <= this.#options.clock.now())) return false
    // Where an option gives the master key, the one that was made at the first start opens nothing.
    const master = this.#options.master()
    return master === undefined || key === master || key.id !== master.id
  }
}

/** Why the key may not ask this; undefined: it may. */
function why(
  { endpoints, upstreams }: Key,
  via: AuthenticateHookInfo["via"],
  { path }: AuthenticateHookInfo["request"],
): string | undefined {
  if (via === "connect") {
    const host = path.replace(/:\d+$/, "")
    return allows(upstreams, host) ? undefined : `this key may not ask ${host}`
  }
  if (via === "socks") return undefined
  const [asked = ""] = path.split("?", 1)
  return allows(endpoints, asked) ? undefined : `this key may not ask ${asked}`
}
