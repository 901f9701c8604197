/**
 * Slows down who shows keys that are none: no key can be guessed, but each try costs a look into the database and a line of
 * somebody's time. Keys that are known pass by here, so that nobody's mistakes keep others of the same address waiting.
 */
import { isIPv6 } from "node:net"
import type { Clock } from "llmproxy"

/** Wrong keys that an address may show before it is slowed: people mistype. */
const FREE = 5
/** The first delay in milliseconds; each further wrong key doubles it, up to the longest. */
const DELAY_MS = 100
const DELAY_MS_MAX = 2_000
/** A try that would have to wait for longer is refused unseen. Below the time that a hook has. */
const WAIT_MS_MAX = 3_000
/** Wrong keys are forgotten after this long without another. */
const FORGET_MS = 900_000
const ADDRESSES_MAX = 10_000

interface Wrong {
  count: number
  /** Monotonic milliseconds before which no further try is looked at. */
  notBefore: number
  last: number
}

export class Tries {
  readonly #clock: Clock
  readonly #wrong = new Map<string, Wrong>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Before a key that is not known is looked up. Resolves to whether it may be; false: too many have been tried. */
  async enter(address: string): Promise<boolean> {
    const wrong = this.#wrong.get(networkOf(address))
    const now = this.#clock.monotonic()
    if (wrong === undefined || wrong.count < FREE || now - wrong.last > FORGET_MS) return true
    const at = Math.max(now, wrong.notBefore)
    if (at - now > WAIT_MS_MAX) return false
    wrong.notBefore = at + Math.min(DELAY_MS * 2 ** (wrong.count - FREE), DELAY_MS_MAX)
    if (at > now) await new Promise<void>((resolve) => void this.#clock.after(at - now, resolve))
    return true
  }

  /** It was none. */
  failed(address: string): void {
    const network = networkOf(address)
    const now = this.#clock.monotonic()
    const before = this.#wrong.get(network)
    const isFresh = before === undefined || now - before.last > FORGET_MS
    const wrong = isFresh ? { count: 0, notBefore: now, last: now } : before
    wrong.count++
    wrong.last = now
    this.#wrong.delete(network)
    for (const oldest of this.#wrong.keys()) {
      if (this.#wrong.size < ADDRESSES_MAX) break
      this.#wrong.delete(oldest)
    }
    this.#wrong.set(network, wrong)
  }
}

/** What one client surely has: an IPv4 address, or the first 64 bits of an IPv6 one. */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address
  const [front = "", back] = address.split("::")
  const head = front.split(":").filter((group) => group !== "")
  const tail = back === undefined ? [] : back.split(":").filter((group) => group !== "")
  const zeros = back === undefined ? [] : Array<string>(Math.max(0, 8 - head.length - tail.length)).fill("0")
  return [...head, ...zeros, ...tail].slice(0, 4).join(":")
}
