/**
 * Which certificates an upstream may show, and which we show to it: the system's roots, Node's, and what the user adds. Built when the first
 * TLS connection is made, because reading some hundred certificates costs more than starting the program.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { createSecureContext, rootCertificates, type SecureContext } from "node:tls"
import { LRUCache } from "lru-cache"
import { rootsOfFolders } from "../../../certs/root-folders.ts"
import { SYSTEM_BUNDLES } from "../../../certs/system-bundles.ts"
import { DEFAULT_TLS_VERSIONS, type TlsVersions, versionOptions } from "../../../certs/tls-versions.ts"
import { FlowError } from "../../base/errors.ts"
import { type ClientCertificates, type KeyLogging, NO_CLIENT_CERTIFICATES } from "../settings.ts"
import { clientCertificateFor } from "./client-certificates.ts"
import { explainPem } from "./pem.ts"

/** Contexts for addons' own `ca` are few; this bounds them all the same. */
const CONTEXTS_MAX = 64

export interface TrustStoreOptions {
  readonly clientCertificates: ClientCertificates
  readonly upstreamTls: TlsVersions
  readonly keyLog: KeyLogging | undefined
}

export class TrustStore {
  /** Logs the secrets of connections, if that was asked for. */
  readonly keyLog: KeyLogging | undefined
  #extra: readonly string[]
  #clientCertificates: ClientCertificates
  #versions: TlsVersions
  #contexts = new LRUCache<string, SecureContext>({ max: CONTEXTS_MAX })

  /** `extra`: PEM texts to trust besides the roots. */
  constructor(extra: readonly string[], options: Partial<TrustStoreOptions> = {}) {
    this.#extra = extra
    this.#clientCertificates = options.clientCertificates ?? NO_CLIENT_CERTIFICATES
    this.#versions = options.upstreamTls ?? DEFAULT_TLS_VERSIONS
    this.keyLog = options.keyLog
  }

  /**
   * A client context that trusts the roots, the user's certificates and `ca` (PEM), and shows the certificate that the
   * user has for `host`. Throws a FlowError on no PEM.
   */
  context(ca: string | undefined, host = ""): SecureContext {
    const own = this.#clientCertificates.hosts.has(host) ? host : ""
    const key = `${own} ${ca ?? ""}`
    const known = this.#contexts.get(key)
    if (known !== undefined) return known
    const wrong = ca === undefined ? undefined : explainPem(ca)
    if (wrong !== undefined) throw new FlowError("addon", "bad-ca", `the CA for this target: ${wrong}`, { status: 500 })
    const further = [...this.#extra, ...(ca === undefined ? [] : [ca])]
    const pair = clientCertificateFor(this.#clientCertificates, own)
    const context = shared([further, pair, this.#versions], () =>
      createSecureContext({ ca: [...roots(), ...further], ...pair, ...versionOptions(this.#versions) }),
    )
    this.#contexts.set(key, context)
    return context
  }
}

/**
 * Those of all proxies of this process: the roots are the same, and to read them takes a fifth of a second. By a hash, as what
 * they are made of has keys in it.
 */
const SHARED = new LRUCache<string, SecureContext>({ max: CONTEXTS_MAX })

function shared(made: readonly unknown[], make: () => SecureContext): SecureContext {
  const key = createHash("sha256").update(JSON.stringify(made)).digest("base64")
  const known = SHARED.get(key)
  if (known !== undefined) return known
  const context = make()
  SHARED.set(key, context)
  return context
}

let cachedRoots: string[] | undefined

function roots(): string[] {
  const { NODE_EXTRA_CA_CERTS, SSL_CERT_DIR } = process.env
  cachedRoots ??= [
    ...rootCertificates,
    ...systemRoots(),
    ...rootsOfFolders(SSL_CERT_DIR),
    ...fromFile(NODE_EXTRA_CA_CERTS),
  ]
  return cachedRoots
}

/** SSL_CERT_FILE replaces the system's roots, as it does for OpenSSL; SSL_CERT_DIR adds to them. */
function systemRoots(): string[] {
  if (process.env.SSL_CERT_FILE !== undefined) return fromFile(process.env.SSL_CERT_FILE)
  for (const path of SYSTEM_BUNDLES) {
    const found = fromFile(path)
    if (found.length > 0) return found
  }
  return []
}

function fromFile(path: string | undefined): string[] {
  if (path === undefined) return []
  try {
    return [readFileSync(path, "latin1")]
  } catch {
    return [] // A system without that bundle: Node's own roots stand.
  }
}
