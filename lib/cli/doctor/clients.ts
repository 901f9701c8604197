/**
 * Whether programs of this shell come to llmproxy at all, told from what they have to go by: the variables, and the
 * version of Node. What a program does by itself cannot be seen from here; docs/clients.md has a table of those tried.
 */
import { baseUrlOf } from "../../options/core.ts"
import { hostAndPort } from "../../proxy/io/authority.ts"
import { usesEnvProxy } from "../node-version.ts"
import type { Finding, Patient } from "./check.ts"

const LEAD = 'start programs with `llmproxy run`, or have the variables set: eval "$(llmproxy env)"'
const BASE_URLS = ["OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL"]

export async function checkClients(patient: Patient): Promise<Finding[]> {
  return [
    proxyFinding(patient),
    ...nodeFindings(patient),
    ...BASE_URLS.flatMap((name) => baseUrlFinding(patient, name)),
  ]
}

/** Whether HTTPS_PROXY is the address that llmproxy listens at. */
export function leadsHere(patient: Patient): boolean {
  const proxy = urlIn(patient.env.https_proxy || patient.env.HTTPS_PROXY)
  return proxy !== undefined && isOurAddress(patient, proxy)
}

function proxyFinding(patient: Patient): Finding {
  const { env, values } = patient
  const [lower, upper] = [env.https_proxy, env.HTTPS_PROXY]
  const here = baseUrlOf(values.host, values.port)
  if (!lower && !upper)
    return { mark: "note", text: "HTTPS_PROXY is not set: programs of this shell go past llmproxy", fix: LEAD }
  const proxy = urlIn(lower || upper)
  if (proxy === undefined || !isOurAddress(patient, proxy)) {
    // Never its user and password.
    const place = proxy === undefined ? "what is no URL" : `${proxy.protocol}//${proxy.host}`
    const text = `HTTPS_PROXY names ${place}, not llmproxy at ${here}`
    if (proxy === undefined) return { mark: "note", text, fix: LEAD }
    const fix = `\`llmproxy run\` goes on through it; where you start llmproxy yourself, add --mode upstream:${place}`
    return { mark: "note", text, fix }
  }
  if (!lower || !env.http_proxy) {
    const missing = ["http_proxy", "https_proxy"].filter((name) => !env[name])
    const text = `${missing.join(" and ")} not set: programs that read lower case alone (wget, curl for http://) go past llmproxy`
    return { mark: "bad", text, fix: LEAD }
  }
  return { mark: "good", text: "HTTPS_PROXY leads to llmproxy" }
}

function nodeFindings(patient: Patient): Finding[] {
  const { nodeVersion, env, values } = patient
  if (!usesEnvProxy(nodeVersion)) {
    const text = `programs on Node ${nodeVersion} go past llmproxy: its fetch ignores HTTPS_PROXY (22.21 and 24 honour it)`
    return [
      { mark: "note", text, fix: `give them the base URL ${baseUrlOf(values.host, values.port)}/v1, or a newer Node` },
    ]
  }
  if (!leadsHere(patient) || env.NODE_USE_ENV_PROXY === "1") return []
  const text = `programs on Node ${nodeVersion} go past llmproxy: they read HTTPS_PROXY only with NODE_USE_ENV_PROXY=1`
  return [{ mark: "bad", text, fix: LEAD }]
}

/** A base URL on this machine that is not ours is reached directly: NO_PROXY holds this machine. */
function baseUrlFinding(patient: Patient, name: string): Finding[] {
  const url = urlIn(patient.env[name])
  if (url === undefined || !isHere(url.hostname) || isOurAddress(patient, url)) return []
  const { host, port } = patient.values
  const text = `${name} names ${url.host} on this machine: programs that read it go past llmproxy`
  return [{ mark: "note", text, fix: `set it to ${baseUrlOf(host, port)}, or unset it` }]
}

function isOurAddress({ values }: Patient, url: URL): boolean {
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80)
  if (port !== values.port) return false
  return isHere(url.hostname) || hostAndPort(values.host, port) === `${url.hostname}:${port}`
}

function isHere(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.")
}

function urlIn(text: string | undefined): URL | undefined {
  if (!text) return undefined
  const whole = text.includes("://") ? text : `http://${text}`
  return URL.canParse(whole) ? new URL(whole) : undefined
}
