/** Certificates that are not accepted: that each is told as one, whatever OpenSSL calls it, with advice by kind. */
import { test } from "tap"
import { certificateAdvice, certificateCodeIn, checkIdentity } from "../../../lib/proxy/tls/certificate-failure.ts"

test("advice is by kind, and that of the issuer is given for the issuer alone", async (t) => {
  const issuer = ["UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"]
  for (const code of [...issuer, "DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN", "CERT_UNTRUSTED"])
    t.match(certificateAdvice(code), /trust its issuer with --upstream-ca FILE; --insecure/, code)
  for (const [code, advice] of [
    ["CERT_HAS_EXPIRED", /renew/],
    ["CERT_NOT_YET_VALID", /clock/],
    ["ERR_TLS_CERT_ALTNAME_INVALID", /another server's/],
    ["HOSTNAME_MISMATCH", /another server's/],
    ["CRL_HAS_EXPIRED", /list of certificates/],
    ["INVALID_CA", /chain is faulty/],
    ["INVALID_PURPOSE", /chain is faulty/],
    ["PATH_LENGTH_EXCEEDED", /chain is faulty/],
    ["CERT_SIGNATURE_FAILURE", /chain is faulty/],
    ["UNSPECIFIED", /chain is faulty/],
  ] as const) {
    t.match(certificateAdvice(code), advice, code)
    t.notMatch(certificateAdvice(code), /issuer/, code)
    t.match(certificateAdvice(code), /--insecure/, code)
  }
  t.match(certificateAdvice("CERT_REVOKED"), /taken it back/)
  t.notMatch(certificateAdvice("CERT_REVOKED"), /insecure/)
})

test("a code is found in what a program says of a failed request", async (t) => {
  t.equal(certificateCodeIn("fetch failed: certificate has expired (CERT_HAS_EXPIRED)"), "CERT_HAS_EXPIRED")
  t.equal(certificateCodeIn("UNABLE_TO_VERIFY_LEAF_SIGNATURE"), "UNABLE_TO_VERIFY_LEAF_SIGNATURE")
  t.equal(certificateCodeIn("connect ECONNREFUSED 127.0.0.1:1"), undefined)
})

test("names that Node cannot read are a failure, and no exception in its callback", async (t) => {
  const certificate = { subject: { CN: "a" }, subjectaltname: 'DNS:"a' } as unknown as Parameters<
    typeof checkIdentity
  >[1]
  t.ok(checkIdentity("a.test", certificate) instanceof Error)
  t.equal(checkIdentity("a.test", { ...certificate, subjectaltname: "DNS:a.test" }), undefined)
})
