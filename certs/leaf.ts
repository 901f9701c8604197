/**
 * The certificate made for one host, and the TLS context that presents it. All leaves share one key, made per
 * process and apart from the CA's: making a key a host would cost more than it protects, since whoever reads our
 * memory has the CA's key as well. Making a leaf is synchronous, so one name is never made twice at a time.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { createSecureContext, type SecureContext } from "node:tls"
import { LRUCache } from "lru-cache"
import { FlowError, messageOf } from "../lib/base/errors.ts"
import type { Ca } from "./ca.ts"
import {
  authorityKeyId,
  distinguishedName,
  issue,
  leafKeyUsage,
  publicKeyInfo,
  serverAuth,
  subjectAltName,
} from "./certificate.ts"
import { generalName } from "./constraints.ts"
import type { Asn1 } from "./der.ts"
import { type HostName, parseHostName, shown } from "./name.ts"
import { DEFAULT_TLS_VERSIONS, type TlsVersions, versionOptions } from "./tls-versions.ts"

const DAY_MS = 86_400_000
// Chromium takes at most 200 days. Two of ours lie in the past, for clients whose clock is behind ours.
const LEAF_DAYS = 197
const BACKDATE_DAYS = 2
const RENEW_BEFORE_MS = DAY_MS

// A context takes some 30 kB, so that 1,000 of them stay near 30 MB.
const CONTEXTS_MAX = 1_000
// X.520's limit of a common name, ub-common-name.
const COMMON_NAME_CHARS_MAX = 64
/** Further names in one leaf: the largest real certificates have some hundred. */
const FURTHER_NAMES_MAX = 100
// What OpenSSL wants for session tickets: a name, an HMAC key and an AES key of 16 bytes each.
const TICKET_KEYS_BYTES = 48

/** A leaf with what a server sends after it, and its key: PEM, in the shape that node:tls takes. */
export interface LeafChain {
  readonly cert: string
  readonly key: string
}

interface Leaf {
  readonly chain: LeafChain
  context: SecureContext | undefined
  /** Epoch milliseconds between which it may be handed out. */
  readonly from: number
  readonly until: number
}

export interface LeafFactoryOptions {
  /** Epoch milliseconds. */
  clock: () => number
  /** Names kept at a time. Default: 1,000. */
  max?: number
  /** What clients may speak. Default: TLS 1.2 and 1.3. */
  versions?: TlsVersions
}

export class LeafFactory {
  #ca: Ca
  #clock: () => number
  #leaves: LRUCache<string, Leaf>
  #versions: TlsVersions
  #ticketKeys = randomBytes(TICKET_KEYS_BYTES)
  #key: string
  #publicKey: Asn1
  #fixed: Asn1[]
  #chain: string
  #caFrom: number
  #caTo: number

  constructor(ca: Ca, { clock, max = CONTEXTS_MAX, versions = DEFAULT_TLS_VERSIONS }: LeafFactoryOptions) {
    this.#versions = versions
    this.#ca = ca
    this.#clock = clock
    this.#leaves = new LRUCache({ max })
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
    this.#key = privateKey.export({ type: "pkcs8", format: "pem" }).toString()
    this.#publicKey = publicKeyInfo(publicKey)
    this.#fixed = [leafKeyUsage(), serverAuth()]
    // A verifier compares this with the CA's own identifier; where the CA has none, there is nothing to name.
    const keyId = ca.facts.subjectKeyId
    if (keyId !== undefined) this.#fixed.push(authorityKeyId(keyId))
    this.#chain = ca.chain.join("")
    this.#caFrom = Date.parse(ca.cert.validFrom)
    this.#caTo = Date.parse(ca.cert.validTo)
  }

  /**
   * The TLS context for a host name or address, as it came from SNI or CONNECT; the same one until it is evicted
   * or due. Contexts share their ticket keys, so that a session made with one is resumed with another.
   * `further`: names that the leaf is for besides; those that cannot stand in a certificate of this CA are left out.
   * Throws FlowError: `bad-host-name`, `name-not-permitted` by the CA's constraints, `ca-expired`, or `leaf-failed`
   * where OpenSSL refuses the CA's key or chain.
   */
  contextFor(name: string, further: readonly string[] = []): SecureContext {
    const leaf = this.#leafFor(name, further)
    leaf.context ??= attempt(name, () =>
      createSecureContext({
        ...leaf.chain,
        // Client certificates are not asked for: without this, Node would read all its roots into memory.
        ca: [],
        ...versionOptions(this.#versions),
        ticketKeys: this.#ticketKeys,
      }),
    )
    return leaf.context
  }

  /** The leaf itself, for a server that makes its own context. Throws as contextFor does. */
  chainFor(name: string, further: readonly string[] = []): LeafChain {
    return this.#leafFor(name, further).chain
  }

  /** Whether the CA may sign for this name at all. */
  permits(name: string): boolean {
    return this.#ca.permits(name)
  }

  #leafFor(name: string, further: readonly string[]): Leaf {
    const host = parseHostName(name)
    const now = this.#clock()
    const key = [host.text, ...further].join(" ")
    const known = this.#leaves.get(key)
    if (known !== undefined && known.from <= now && now < known.until) return known
    this.#check(host, now)
    const made = attempt(host.text, () => this.#make(host, now, this.#furtherNames(host, further)))
    this.#leaves.set(key, made)
    return made
  }

  #check(host: HostName, now: number): void {
    if (!this.#ca.permits(host.text))
      throw refusal("name-not-permitted", host.text, "the CA's name constraints do not permit it")
    if (now <= this.#caTo) return
    const when = new Date(this.#caTo).toISOString()
    throw refusal("ca-expired", host.text, `the CA expired on ${when}; make a new one and restart`)
  }

  #furtherNames(host: HostName, further: readonly string[]): HostName[] {
    const names = new Map<string, HostName>()
    for (const text of further.slice(0, FURTHER_NAMES_MAX)) {
      const name = certificateName(text)
      if (name !== undefined && name.text !== host.text && this.#ca.permits(name.text.replace(/^\*\./, "")))
        names.set(name.text, name)
    }
    return [...names.values()]
  }

  #make(host: HostName, now: number, further: readonly HostName[]): Leaf {
    const from = Math.max(now - BACKDATE_DAYS * DAY_MS, this.#caFrom)
    const to = Math.min(from + LEAF_DAYS * DAY_MS, this.#caTo)
    // A common name is for old clients and for reading. An address there would count as a DNS name where the CA has
    // name constraints, and one that is too long would make the certificate invalid.
    const hasCommonName = host.kind === "dns" && host.text.length < COMMON_NAME_CHARS_MAX
    const der = issue(
      {
        issuer: this.#ca.facts.subject,
        subject: distinguishedName({ organization: "llmproxy", ...(hasCommonName && { commonName: host.text }) }),
        notBefore: from,
        notAfter: to,
        publicKey: this.#publicKey,
        extensions: [...this.#fixed, subjectAltName(...[host, ...further].map(generalName))],
      },
      this.#ca.signer,
    )
    return {
      chain: { cert: pem(der) + this.#chain, key: this.#key },
      context: undefined,
      from,
      // A leaf that ends with its CA cannot be renewed: making it anew for each connection would gain nothing.
      until: to === this.#caTo ? to : to - RENEW_BEFORE_MS,
    }
  }
}

/** A name as a certificate has it: a wildcard is one too. Undefined: it can stand in none. */
function certificateName(text: string): HostName | undefined {
  try {
    if (!text.startsWith("*.")) return parseHostName(text)
    const below = parseHostName(text.slice(2))
    return below.kind === "dns" ? { kind: "dns", text: `*.${below.text}` } : undefined
  } catch {
    return undefined
  }
}

function pem(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`
}

// What OpenSSL says of a user's CA comes as a plain Error, which must not leave a TLS callback.
function attempt<T>(name: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw refusal("leaf-failed", name, messageOf(error), error)
  }
}

function refusal(code: string, name: string, why: string, cause?: unknown): FlowError {
  return new FlowError("llmproxy", code, `make a certificate for "${shown(name)}": ${why}`, { cause })
}
