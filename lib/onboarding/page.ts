/**
 * What `http://llmproxy.local/` and `/.llmproxy/` at the proxy's own address serve: the page that sets a device up and
 * the CA's public certificate in the forms that devices take. Nothing else of the program is reachable here, and no
 * name in a request becomes a file's: everything is in memory.
 */
import { X509Certificate } from "node:crypto"
import { networkInterfaces } from "node:os"
import { certificateOnlyPkcs12 } from "../../certs/pkcs12.ts"
import { OWN_SERVER } from "../proxy/access/refusal.ts"
import { hostAndPort } from "../proxy/io/authority.ts"
import { OWN_HOST, OWN_PREFIX } from "../proxy/session/own-names.ts"
import { POLICY, pageHtml } from "./html.ts"

export interface OnboardingFacts {
  /** The CA's certificate, PEM, and nothing but it. */
  readonly certPem: string
  /** The address and port that clients are pointed at. */
  readonly host: string
  readonly port: number
}

const OK_SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'

/** The answer to a request; undefined: nothing is served at that path. */
export function onboardingAnswer(request: Pick<Request, "url">, facts: OnboardingFacts): Response | undefined {
  const url = new URL(request.url)
  const through = url.hostname === OWN_HOST
  if (!through && url.pathname === OWN_PREFIX) return moved(`${OWN_PREFIX}/`)
  const path = through ? url.pathname : url.pathname.slice(OWN_PREFIX.length)
  const cert = new X509Certificate(facts.certPem)
  switch (path) {
    case "/":
      return page(url, through, facts, cert)
    case "/ok.svg":
      return served("image/svg+xml", Buffer.from(OK_SVG))
    case "/cert/pem":
      return file("application/x-pem-file", "llmproxy-ca-cert.pem", Buffer.from(facts.certPem))
    case "/cert/cer":
      return file("application/x-x509-ca-cert", "llmproxy-ca-cert.cer", cert.raw)
    case "/cert/p12":
      return file("application/x-pkcs12", "llmproxy-ca-cert.p12", certificateOnlyPkcs12(cert, "llmproxy"))
    default:
      return undefined
  }
}

function page(url: URL, through: boolean, { host, port }: OnboardingFacts, cert: X509Certificate): Response {
  const lan = lanAddress(host)
  const direct = through ? undefined : url.host
  const html = pageHtml({
    proxy: `http://${direct ?? hostAndPort(lan ?? (host === "::1" ? host : "127.0.0.1"), port)}`,
    deviceUrl: lan && `http://${hostAndPort(lan, port)}/.llmproxy/`,
    through,
    secure: url.protocol === "https:",
    fingerprint: cert.fingerprint256,
  })
  return served("text/html; charset=utf-8", Buffer.from(html), [["Content-Security-Policy", POLICY]])
}

function served(type: string, body: Buffer, further: readonly [string, string][] = []): Response {
  const headers: [string, string][] = [
    ["Server", OWN_SERVER],
    ["Content-Type", type],
    ["Content-Length", String(body.length)],
    ["Cache-Control", "no-store"],
    ["X-Content-Type-Options", "nosniff"],
    ["Referrer-Policy", "no-referrer"],
    ...further,
  ]
  return new Response(new Uint8Array(body), { headers })
}

function moved(to: string): Response {
  return new Response(null, { status: 308, headers: { Server: OWN_SERVER, Location: to } })
}

function file(type: string, name: string, body: Buffer): Response {
  return served(type, body, [["Content-Disposition", `attachment; filename="${name}"`]])
}

/** An address under which other devices reach what listens on `host`; undefined: there is none. */
function lanAddress(host: string): string | undefined {
  if (/^127\.|^::1$|^localhost$/.test(host)) return undefined
  if (host !== "0.0.0.0" && host !== "::") return host
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return all.find(({ internal, family }) => !internal && family === "IPv4")?.address
}
