import { createHash, X509Certificate } from "node:crypto"
import { test } from "tap"
import { onboardingAnswer } from "../../lib/onboarding/page.ts"
import { clientGuides, platformGuides } from "../../lib/onboarding/steps.ts"
import { sharedCertificates } from "../helpers/test-proxy.ts"

const THROUGH = "http://llmproxy.local"
const DIRECT = "http://127.0.0.1:8080/.llmproxy"

/** What stands at `path`, below `at`: the address that it is asked at. */
async function ask(path: string, at = THROUGH, host = "127.0.0.1") {
  const { ca } = await sharedCertificates()
  const answer = onboardingAnswer({ url: at + path }, { certPem: ca, host, port: 8080 })
  const body = answer === undefined ? Buffer.alloc(0) : Buffer.from(await answer.arrayBuffer())
  return { status: answer?.status, headers: answer?.headers ?? new Headers(), body, text: body.toString() }
}

test("the CA's certificate is served in three forms, and its key in none", async (t) => {
  const cert = new X509Certificate((await sharedCertificates()).ca)
  const types = { pem: "application/x-pem-file", cer: "application/x-x509-ca-cert", p12: "application/x-pkcs12" }
  for (const [form, type] of Object.entries(types)) {
    const { status, headers, body } = await ask(`/cert/${form}`)
    t.equal(status, 200)
    t.equal(headers.get("Content-Type"), type)
    t.equal(headers.get("Content-Disposition"), `attachment; filename="llmproxy-ca-cert.${form}"`)
    t.notMatch(body.toString("latin1"), "PRIVATE KEY")
    if (form === "p12") t.ok(body.includes(cert.raw))
    else t.equal(new X509Certificate(body).fingerprint256, cert.fingerprint256)
    // The bags of PKCS#12 that can hold a key: keyBag and pkcs8ShroudedKeyBag (RFC 7292 section 4.2).
    for (const bag of ["01", "02"]) t.notOk(body.includes(Buffer.from(`2a864886f70d010c0a01${bag}`, "hex")))
  }
})

test("the page runs its own style and script by their hashes, and loads nothing from elsewhere", async (t) => {
  const { headers, text } = await ask("/?x=1")
  const policy = headers.get("Content-Security-Policy") ?? ""
  t.match(policy, /^default-src 'none'; /)
  t.match(policy, "frame-ancestors 'none'")
  t.notMatch(policy, "unsafe")
  for (const tag of ["style", "script"]) {
    const inner = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(text)?.[1] ?? ""
    t.match(policy, `${tag}-src 'sha256-${createHash("sha256").update(inner).digest("base64")}'`)
    t.equal(text.split(`<${tag}`).length, 2, `one ${tag}`)
  }
  t.notMatch(text, / style=| on[a-z]+="|<link|<iframe/)
  t.notMatch(text.replaceAll("http://www.w3.org/2000/svg", ""), / src="/)
  t.equal(headers.get("X-Content-Type-Options"), "nosniff")
})

test("the page says how the request came, and over TLS that interception works", async (t) => {
  t.match((await ask("/")).text, "This request came through the proxy.")
  t.match((await ask("/", DIRECT)).text, "This request came to the proxy directly.")
  const hiddenIn = (text: string) => [...text.matchAll(/id="tls-(\w+)" hidden/g)].map((match) => match[1])
  t.same(hiddenIn((await ask("/")).text), ["good", "bad"])
  t.same(hiddenIn((await ask("/", "https://llmproxy.local")).text), ["wait", "bad"])
  const picture = await ask("/ok.svg?1")
  t.equal(picture.headers.get("Content-Type"), "image/svg+xml")
  t.equal(picture.headers.get("Cache-Control"), "no-store")
})

test("a phone gets a QR code where it can reach the proxy, else the way to let it in", async (t) => {
  for (const own of ["127.0.0.1", "::1", "localhost"]) {
    const { text } = await ask("/", THROUGH, own)
    t.match(text, "--allow-clients 192.168.0.0/16")
    t.notMatch(text, "<svg")
  }
  const { text } = await ask("/", THROUGH, "192.0.2.9")
  t.match(text, "<svg")
  t.match(text, "<b>http://192.0.2.9:8080/.llmproxy/</b>")
  t.match((await ask("/", THROUGH, "0.0.0.0")).text, /<svg|--allow-clients/)
  t.match((await ask("/", THROUGH, "::1")).text, "<b>http://[::1]:8080</b>")
})

test("the proxy is named as the client reached it, and what it wrote is text", async (t) => {
  t.match((await ask("/", "http://localhost:8080/.llmproxy")).text, "<b>http://localhost:8080</b>")
  const { text } = await ask("/", "http://[::1]:8080/.llmproxy")
  t.match(text, "-Dhttps.proxyPort=8080")
  t.notMatch((await ask("/?<script>alert(1)</script>")).text, "alert")
})

test("no other path is served, and the one without its slash leads there", async (t) => {
  for (const path of ["/x", "/cert", "/cert/", "/cert/key", "/llmproxy-ca.pem", "//", "/cert/pem/"])
    for (const at of [THROUGH, DIRECT]) t.equal((await ask(path, at)).status, undefined, at + path)
  const { status, headers } = await ask("", DIRECT)
  t.equal(status, 308)
  t.equal(headers.get("Location"), "/.llmproxy/")
})

test("every system and program that was promised has its guide", async (t) => {
  const all = [...platformGuides(), ...clientGuides("http://127.0.0.1:8080")]
  const names = all.map(({ name }) => name).join("\n")
  for (const name of "macOS Windows Debian Fedora Arch iPhone Android Firefox Chrome curl Node Python git Java Codex Claude".split(
    " ",
  ))
    t.match(names, name)
  for (const { name, steps } of all) t.ok(steps.length > 0, name)
  t.notMatch(JSON.stringify(all), "ca-bundle.pem", "which lies on the proxy's machine")
})
