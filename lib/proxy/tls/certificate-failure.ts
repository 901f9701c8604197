/**
 * A certificate that was not accepted: whether that is what went wrong, and what a person can do about it. That a
 * verification failed is told by the socket, not by the error's code: OpenSSL has some eighty codes, Node names thirty of
 * them, and calls the others UNSPECIFIED.
 */
import { checkServerIdentity, type PeerCertificate, type TLSSocket } from "node:tls"
import { messageOf, systemCodeOf } from "../../base/errors.ts"

/** The error's code for every certificate that was not accepted. */
export const UNTRUSTED = "untrusted"

/** Node's names for X509_V_ERR_*: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/ */
const ADVICE: readonly [codes: RegExp, advice: string][] = [
  [
    /^(?:UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY_LEAF|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED|CERT_UNTRUSTED)/,
    "trust its issuer with --upstream-ca FILE",
  ],
  [/^CERT_HAS_EXPIRED$/, "the server's operator has to renew it; if it is new, check this machine's clock"],
  [/^CERT_NOT_YET_VALID$/, "check this machine's clock"],
  [
    /^(?:ERR_TLS_CERT_ALTNAME|HOSTNAME_MISMATCH)/,
    "it is another server's: check the address, or ask by a name that the certificate holds",
  ],
  [/^CERT_(?:REVOKED|REJECTED)$/, "its issuer has taken it back: do not send this server anything"],
  [/CRL/, "the list of certificates that were taken back cannot be used: mend that first"],
]
const FAULTY = "the certificate or its chain is faulty, which the server's operator has to mend"

/** What was wrong with the certificate and what to do, as one sentence's end; undefined when something else failed. */
export function certificateFailure(socket: TLSSocket, thrown: unknown): string | undefined {
  if (!socket.authorizationError) return undefined
  const code = systemCodeOf(thrown) ?? String(socket.authorizationError)
  return `certificate not accepted: ${messageOf(thrown)} (${code}); ${certificateAdvice(code)}`
}

/** What a person can do about a failure of this code. */
export function certificateAdvice(code: string): string {
  const advice = ADVICE.find(([codes]) => codes.test(code))?.[1] ?? FAULTY
  // A wish for --insecure is no cure for a certificate that was taken back.
  return /REVOKED|REJECTED/.test(code) ? advice : `${advice}; --insecure accepts any certificate`
}

/** Whether a text names a code of a failed verification, as errors of fetch do. Resolves to the code. */
export function certificateCodeIn(text: string): string | undefined {
  return /\b(?:[A-Z_]*(?:CERT|ISSUER|SELF_SIGNED|CRL|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|LEAF_SIGNATURE)[A-Z_]*)\b/.exec(
    text,
  )?.[0]
}

/** Node's own check, which throws at names that it cannot read: in its callback that would end the process. */
export function checkIdentity(host: string, certificate: PeerCertificate): Error | undefined {
  try {
    return checkServerIdentity(host, certificate)
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(messageOf(thrown))
  }
}
