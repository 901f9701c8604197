/**
 * The versions of TLS that one of our legs speaks, as options name them and as node:tls takes them.
 */
import type { SecureContextOptions } from "node:tls"

export const TLS_VERSIONS = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const
export type TlsVersion = (typeof TLS_VERSIONS)[number]

/** Both ends of the range are spoken. */
export interface TlsVersions {
  readonly min: TlsVersion
  readonly max: TlsVersion
}

/** What is older has been deprecated (RFC 8996). */
export const DEFAULT_TLS_VERSIONS: TlsVersions = { min: "TLSv1.2", max: "TLSv1.3" }

/** For createSecureContext. OpenSSL speaks TLS 1.0 and 1.1 at its security level 0 only. */
export function versionOptions({ min, max }: TlsVersions): SecureContextOptions {
  const old = TLS_VERSIONS.indexOf(min) < TLS_VERSIONS.indexOf("TLSv1.2")
  return { minVersion: min, maxVersion: max, ...(old && { ciphers: "DEFAULT@SECLEVEL=0" }) }
}
