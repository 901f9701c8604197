/**
 * Who may use the proxy. Without a rule only this machine may: an open proxy hands out the keys that it adds and the
 * network that it stands in. With users everybody has to authenticate, this machine's programs too (RFC 9110 section
 * 11.7). Guessing is slowed for each address, and a password that was right is remembered by a keyed hash, so that a
 * slow hash is paid for once and not for each request.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { BlockList, isIP } from "node:net"
import { LRUCache } from "lru-cache"
import type { Clock } from "../../base/clock.ts"
import { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import type { Logger } from "../../base/log.ts"
import { canonicalAddress } from "../io/authority.ts"
import type { AddressRange, ProxySettings, ProxyUser } from "../settings.ts"
import { PasswordThread } from "./password-hash.ts"

/** Failures that an address may have before its attempts are slowed: people mistype. */
const FREE_FAILURES = 5
/** The first delay in milliseconds; each further failure doubles it, up to the longest. */
const DELAY_MS = 250
const DELAY_MS_MAX = 8_000
/** An attempt that would have to wait for longer is refused at once. */
const WAIT_MS_MAX = 10_000
/** Failures are forgotten after this long without an attempt. */
const FORGET_MS = 900_000
const ADDRESSES_MAX = 10_000
/** Passwords that were right, remembered as keyed hashes. */
const VERIFIED_MAX = 1_000
/** Attempts that are being checked or wait, of all addresses together. */
const ATTEMPTS_MAX = 256
/** Nobody has longer credentials; hashing them would cost more than refusing. */
const CREDENTIAL_CHARS_MAX = 1_024
/** An address gets one line in the log in this time, so that a scan does not fill it. */
const LOG_EVERY_MS = 60_000
const LOGGED_ADDRESSES_MAX = 1_000

/** What `Proxy-Authenticate` says with a 407 (RFC 7617). */
export const CHALLENGE = 'Basic realm="llmproxy", charset="UTF-8"'

export interface AccessRules {
  readonly proxyUsers: readonly ProxyUser[]
  readonly allowClients: readonly AddressRange[]
}

interface Failures {
  count: number
  /** Monotonic milliseconds before which no further attempt is looked at. */
  notBefore: number
  last: number
}

type Verdict = "right" | "wrong" | "too-many"

export class Access {
  /** Whether clients have to authenticate. */
  readonly required: boolean
  /** Whether somebody has said whose addresses may come. */
  readonly isLimited: boolean
  readonly #users: ReadonlyMap<string, ProxyUser>
  readonly #decoy: string | undefined
  readonly #admitted = new BlockList()
  readonly #everybody: boolean
  readonly #clock: Clock
  readonly #log: Logger
  readonly #thread = new PasswordThread()
  readonly #key = randomBytes(32)
  readonly #verified = new LRUCache<string, true>({ max: VERIFIED_MAX })
  readonly #failures = new LRUCache<string, Failures>({ max: ADDRESSES_MAX })
  readonly #logged = new LRUCache<string, number>({ max: LOGGED_ADDRESSES_MAX })
  /** Attempts with the same credentials from one network share one check. */
  readonly #running = new Map<string, Promise<Verdict>>()

  constructor({ proxyUsers, allowClients }: AccessRules, clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
    this.#users = new Map(proxyUsers.map((user) => [user.name, user]))
    this.#decoy = proxyUsers.find(({ secret }) => secret.kind === "hash")?.secret.text
    this.required = proxyUsers.length > 0
    this.isLimited = allowClients.length > 0
    this.#everybody = this.required && allowClients.length === 0
    this.#admitted.addSubnet("127.0.0.0", 8, "ipv4")
    this.#admitted.addAddress("::1", "ipv6")
    for (const { address, prefix, family } of allowClients) this.#admitted.addSubnet(address, prefix, family)
  }

  /** Whether a connection from this address may speak at all. */
  admits(address: string): boolean {
    if (this.#everybody) return true
    const canonical = canonicalAddress(address.replace(/%.*$/, "")) // the zone of a link-local address
    const family = isIP(canonical)
    return family !== 0 && this.#admitted.check(canonical, family === 4 ? "ipv4" : "ipv6")
  }

  /** Logs that a client was turned away. */
  turnedAway(address: string): void {
    const advice = "let it in with --allow-clients ADDRESS, or let users in with --proxy-auth USER:PASS"
    this.#logOnce(address, `${address}: turned away: only this machine's clients may use the proxy; ${advice}`)
  }

  /** Whether the password is this user's. False too where the address has failed too often. Rejects as checkHeader. */
  async authenticate(user: string, password: string, address: string): Promise<boolean> {
    return (await this.#judge(user, password, address)) === "right"
  }

  /**
   * The user that Proxy-Authorization proves, or the error for the client: 407, 429 where the address has failed too
   * often, 503 where checks cannot be made. Only to be asked where `required`.
   */
  async checkHeader(headers: Headers, address: string): Promise<{ readonly user: string } | FlowError> {
    const values = headers.getAll("proxy-authorization")
    const credentials = values.length === 1 ? basicCredentials(values[0] ?? "") : undefined
    if (credentials === undefined) return unauthenticated("this proxy wants a user and a password")
    const { user, password } = credentials
    try {
      const verdict = await this.#judge(user, password, address)
      if (verdict === "right") return { user }
      if (verdict === "wrong") return unauthenticated("the proxy does not know this user and password")
      const message = "too many wrong passwords from this address; wait a few seconds"
      return new FlowError("client", "too-many-attempts", message, { status: 429 })
    } catch (thrown) {
      if (thrown instanceof FlowError) return thrown
      throw thrown
    }
  }

  /** Ends the thread that checks hashes. */
  close(): Promise<void> {
    return this.#thread.close()
  }

  async #judge(user: string, password: string, address: string): Promise<Verdict> {
    if (user.length + password.length > CREDENTIAL_CHARS_MAX) return "wrong"
    const id = this.#keyed(`${user.length}:${user}:${password}`).toString("hex")
    if (this.#verified.has(id)) return "right"
    const network = networkOf(address)
    const key = `${network} ${id}`
    const running = this.#running.get(key)
    if (running !== undefined) return running
    if (this.#running.size >= ATTEMPTS_MAX) return "too-many"
    const attempt = this.#attempt(user, password, network, address).finally(() => this.#running.delete(key))
    this.#running.set(key, attempt)
    const verdict = await attempt
    if (verdict === "right") this.#verified.set(id, true)
    return verdict
  }

  /** Counts as a failure until it has succeeded, so that attempts side by side are slowed as well. */
  async #attempt(user: string, password: string, network: string, address: string): Promise<Verdict> {
    const failures = this.#failuresOf(network)
    const now = this.#clock.monotonic()
    const delay = delayAfter(failures.count)
    const at = Math.max(now, failures.notBefore) + delay
    if (at - now > WAIT_MS_MAX) return "too-many"
    failures.notBefore = at
    failures.last = now
    failures.count++
    if (at > now) await new Promise<void>((resolve) => void this.#clock.after(at - now, resolve))
    if (await this.#isRight(user, password)) {
      failures.count--
      return "right"
    }
    this.#logOnce(address, `${address}: wrong proxy user or password (${failures.count} failed attempts)`)
    return "wrong"
  }

  /** Takes as long for a user that does not exist. */
  async #isRight(user: string, password: string): Promise<boolean> {
    const secret = this.#users.get(user)?.secret
    if (secret?.kind === "password") return timingSafeEqual(this.#keyed(secret.text), this.#keyed(password))
    if (secret !== undefined) return this.#thread.verify(secret.text, password)
    if (this.#decoy !== undefined) await this.#thread.verify(this.#decoy, password)
    return false
  }

  #keyed(text: string): Buffer {
    return createHmac("sha256", this.#key).update(text).digest()
  }

  #failuresOf(network: string): Failures {
    const known = this.#failures.get(network)
    const now = this.#clock.monotonic()
    if (known !== undefined && now - known.last < FORGET_MS) return known
    const fresh = { count: 0, notBefore: now, last: now }
    this.#failures.set(network, fresh)
    return fresh
  }

  #logOnce(address: string, line: string): void {
    const now = this.#clock.monotonic()
    const last = this.#logged.get(address)
    if (last !== undefined && now - last < LOG_EVERY_MS) return
    this.#logged.set(address, now)
    this.#log.warn(line)
  }
}

function delayAfter(failures: number): number {
  return failures < FREE_FAILURES ? 0 : Math.min(DELAY_MS * 2 ** (failures - FREE_FAILURES), DELAY_MS_MAX)
}

/** What one attacker surely has: an IPv4 address, or the 64 bits of an IPv6 network (RFC 6177). */
function networkOf(address: string): string {
  const canonical = canonicalAddress(address.replace(/%.*$/, ""))
  if (isIP(canonical) !== 6) return canonical
  const [front = "", back] = canonical.split("::")
  const groups = (text: string | undefined) => (text === undefined || text === "" ? [] : text.split(":"))
  const [head, tail] = [groups(front), groups(back)]
  const all = [...head, ...Array<string>(8 - head.length - tail.length).fill("0"), ...tail]
  return `${all.slice(0, 4).join(":")}::/64`
}

/** RFC 7617 section 2. Undefined: these are no Basic credentials. */
function basicCredentials(value: string): { user: string; password: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/_-]+={0,2})[ \t]*$/i.exec(value)?.[1]
  const text = encoded === undefined ? "" : Buffer.from(encoded, "base64").toString("utf8")
  const colon = text.indexOf(":")
  return colon < 1 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

function unauthenticated(message: string): FlowError {
  return new FlowError("client", "proxy-authentication", message, { status: 407 })
}

/**
 * Whether a browser sends this for a page of another site: an image or a script of a page carries no Origin, but browsers
 * tell addresses that they trust, as all of this machine's, where a request comes from (Fetch Metadata). A program sends
 * no such field; `none` is a person, `same-origin` a page that came through here.
 */
export function isForOtherSite(headers: Headers, { baseOrigins }: Pick<ProxySettings, "baseOrigins">): boolean {
  const site = headers.get("sec-fetch-site")
  if (site === undefined || site === "none" || site === "same-origin") return false
  const origin = headers.get("origin")
  return origin === undefined || !baseOrigins.includes(origin)
}
