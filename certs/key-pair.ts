/**
 * A user's own certificate: a PEM file with the certificate, what a peer needs after it, and its key. Read and checked
 * at the start, because what is wrong with it would otherwise show in the middle of a handshake.
 */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { messageOf } from "../lib/base/errors.ts"

/** PEM, in the shape that node:tls takes. */
export interface KeyPair {
  readonly cert: string
  readonly key: string
}

export interface ReadKeyPair extends KeyPair {
  /** The one certificate that the key belongs to; the others are its chain. */
  readonly leaf: X509Certificate
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g
const KEY = /-----BEGIN (?:(?:RSA|EC) )?PRIVATE KEY-----[^-]+-----END (?:(?:RSA|EC) )?PRIVATE KEY-----/

/** Returns the pair, or what is wrong with the text in words that follow a file's name. Never shows the key. */
export function readKeyPair(text: string): ReadKeyPair | string {
  const key = KEY.exec(text)?.[0]
  const certificates = text.match(CERTIFICATE) ?? []
  if (certificates.length === 0) return "it holds no PEM certificate"
  if (key === undefined)
    return "it holds no PEM key that can be read without a password; put the key behind the certificate"
  try {
    const privateKey = createPrivateKey(key)
    const [leaf, ...chain] = ordered(
      certificates.map((pem) => ({ pem, cert: new X509Certificate(pem) })),
      (one) => one.cert.checkPrivateKey(privateKey),
    )
    if (leaf === undefined || !leaf.cert.checkPrivateKey(privateKey))
      return "the key belongs to none of its certificates"
    return { cert: [leaf, ...chain].map(({ pem }) => `${pem}\n`).join(""), key: `${key}\n`, leaf: leaf.cert }
  } catch (thrown) {
    return `it cannot be read: ${messageOf(thrown)}`
  }
}

/** The one that fits first, the others in their order. */
function ordered<T>(list: readonly T[], fits: (one: T) => boolean): T[] {
  const first = list.find(fits)
  return first === undefined ? [...list] : [first, ...list.filter((one) => one !== first)]
}

/** The host names and addresses of a certificate's SAN (RFC 5280 section 4.2.1.6), lower-case; wildcards stay. */
export function certificateNames(cert: X509Certificate): string[] {
  const text = cert.subjectAltName ?? ""
  return [...text.matchAll(/(?:^|, )(?:DNS:([^\s,"]+)|IP Address:([0-9A-Fa-f:.]+))/g)].map((match) =>
    (match[1] ?? match[2] ?? "").toLowerCase(),
  )
}
