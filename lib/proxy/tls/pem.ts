/** What is wrong with certificates that somebody gave as text: an option's file, an addon's `ca`. */
import { X509Certificate } from "node:crypto"
import { messageOf } from "../../base/errors.ts"

/** Each certificate in a PEM text. OpenSSL skips what it cannot read; a certificate that is missing is better told. */
const CERTIFICATE = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g

/** What is wrong with a PEM text of certificates; undefined: nothing. */
export function explainPem(text: string): string | undefined {
  const found = text.match(CERTIFICATE) ?? []
  if (found.length === 0) return "it holds no PEM certificate"
  for (const [index, pem] of found.entries()) {
    try {
      new X509Certificate(pem)
    } catch (thrown) {
      return `certificate ${index + 1} of ${found.length} cannot be read: ${messageOf(thrown)}`
    }
  }
  return undefined
}
