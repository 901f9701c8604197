/** Which of a shell's variables keep programs from trusting the CA. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { StartError } from "../../../lib/base/errors.ts"
import type { Patient } from "../../../lib/cli/doctor/check.ts"
import { checkRoots, holdsCa } from "../../../lib/cli/doctor/roots.ts"
import { fakeCa, makePatient } from "../../helpers/patient.ts"
import { testCertificates } from "../../helpers/test-certificates.ts"

const HERE = { HTTPS_PROXY: "http://127.0.0.1:8080" }

const holding = (state: "yes" | "no" | "unreadable"): Partial<Patient> => ({ holdsCa: async () => state })

async function check(env: Record<string, string>, more: Partial<Patient> = {}) {
  return await checkRoots(makePatient({ env, loadCa: async () => fakeCa(), ...more }).patient)
}

test("a variable whose file lacks the CA is broken where HTTPS_PROXY leads here, else noted", async (t) => {
  for (const name of [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
  ]) {
    const text = `${name}: /x.pem does not hold the CA: programs that take their roots from it refuse llmproxy`
    t.match(await check({ [name]: "/x.pem", ...HERE }, holding("no")), [{ mark: "bad", text, fix: /llmproxy env/ }])
    t.match(await check({ [name]: "/x.pem" }, holding("no")), [{ mark: "note", text }])
  }
  t.match(await check({ SSL_CERT_FILE: "/gone" }, holding("unreadable")), [
    { mark: "note", text: /\/gone cannot be read/ },
  ])
})

test("variables that name one file are one finding", async (t) => {
  const env = { SSL_CERT_FILE: "/x.pem", REQUESTS_CA_BUNDLE: "/x.pem", CURL_CA_BUNDLE: "/y.pem", ...HERE }
  const texts = (await check(env, holding("no"))).map(({ text }) => text.replace(/ does not.*/, ""))
  t.same(texts, ["SSL_CERT_FILE, REQUESTS_CA_BUNDLE: /x.pem", "CURL_CA_BUNDLE: /y.pem"])
})

test("variables that are not set are broken where HTTPS_PROXY leads here and the system does not trust the CA", async (t) => {
  t.match(await check({ ...HERE, SSL_CERT_FILE: "/x" }), [
    { mark: "bad", text: /NODE_EXTRA_CA_CERTS, REQUESTS_CA_BUNDLE name no roots and the system does not/ },
  ])
  t.same(await check(HERE, { isTrusted: async () => "yes" }), [])
  t.same(await check({}), [])
  t.match(await check({ SSL_CERT_FILE: "/x" }), [{ mark: "good", text: "the CA is in the files of SSL_CERT_FILE" }])
})

test("without a CA, or with one that cannot be used, there is nothing to look for", async (t) => {
  const env = { SSL_CERT_FILE: "/x" }
  t.same(await check(env, { loadCa: async () => undefined }), [])
  t.same(await check(env, { loadCa: () => Promise.reject(new StartError("broken")) }), [])
  await t.rejects(check(env, { loadCa: () => Promise.reject(new TypeError("a bug")) }), { message: "a bug" })
})

test("a file holds the CA however its lines end and whatever stands around it", async (t) => {
  const [ours, other] = await Promise.all([testCertificates(), testCertificates()])
  const folder = t.testdir()
  const file = (text: string) => {
    const path = join(folder, "roots.pem")
    writeFileSync(path, text)
    return path
  }
  const ca = { certPem: ours.ca }
  t.equal(await holdsCa(ca, file(`# roots\n${other.ca}${ours.ca.replaceAll("\n", "\r\n")}`)), "yes")
  t.equal(await holdsCa(ca, file(other.ca)), "no")
  t.equal(await holdsCa(ca, file("")), "no")
  t.equal(await holdsCa(ca, join(folder, "gone")), "unreadable")
  t.equal(await holdsCa(ca, folder), "unreadable")
})

test("folders of roots are looked into where no file is named", async (t) => {
  const text = "SSL_CERT_DIR: /x does not hold the CA: programs that take their roots from it refuse llmproxy"
  t.match(await check({ SSL_CERT_DIR: "/x", ...HERE }, holding("no")), [{ mark: "bad", text }])
  t.match(await check({ SSL_CERT_DIR: "/x", SSL_CERT_FILE: "/y" }, holding("yes")), [
    { mark: "good", text: /SSL_CERT_FILE/ },
  ])
  const ca = { certPem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" }
  t.equal(await holdsCa(ca, t.testdir({ "ca.pem": ca.certPem })), "yes")
  t.equal(await holdsCa(ca, t.testdir({ "ca.pem": ca.certPem.replace("AAAA", "BBBB") })), "no")
})
