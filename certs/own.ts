/**
 * Certificates that the user has for hosts of his own (`--certs [domain=]FILE`): shown in place of a leaf of ours, so
 * that clients which trust that certificate already need no CA of ours.
 */
import { createSecureContext, type SecureContext } from "node:tls"
import type { KeyPair } from "./key-pair.ts"
import { parseHostName } from "./name.ts"
import { DEFAULT_TLS_VERSIONS, type TlsVersions, versionOptions } from "./tls-versions.ts"

export interface OwnCertificate extends KeyPair {
  /** Lower-case: `host`, `*.domain` for the names one label below it, or `*` for everything. */
  readonly names: readonly string[]
}

export class OwnCertificates {
  readonly #contexts = new Map<string, SecureContext>()

  /** Of two with the same name the later one counts. */
  constructor(own: readonly OwnCertificate[], versions: TlsVersions = DEFAULT_TLS_VERSIONS) {
    for (const { names, cert, key } of own) {
      const context = createSecureContext({ cert, key, ca: [], ...versionOptions(versions) })
      for (const name of names) this.#contexts.set(name, context)
    }
  }

  /** The context for a host; undefined where the user has none. The exact name wins over a wildcard (RFC 6125). */
  contextFor(name: string): SecureContext | undefined {
    if (this.#contexts.size === 0) return undefined
    const host = hostText(name)
    const parent = host.indexOf(".")
    const wildcard = parent < 0 ? undefined : this.#contexts.get(`*${host.slice(parent)}`)
    return this.#contexts.get(host) ?? wildcard ?? this.#contexts.get("*")
  }
}

function hostText(name: string): string {
  try {
    return parseHostName(name).text
  } catch {
    return "" // Which no certificate is for; the leaf that is asked for next says what is wrong.
  }
}
