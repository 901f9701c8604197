/**
 * The variables that point programs at the proxy and make them trust its CA: what `run` sets and `env` prints. Pure.
 */
import { ADDING_VARIABLES, BUNDLE_VARIABLES } from "../../../certs/trust.ts"
import { WGET_VARIABLE } from "./wget-settings.ts"

/** Names of variables with their values; undefined: to be removed. */
export type Environment = Readonly<Record<string, string | undefined>>

const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]

/** Hosts of LLM APIs: an entry of NO_PROXY that matches one of them would hide its traffic. */
export const API_HOSTS = [
  "api.openai.com",
  "us.api.openai.com",
  "eu.api.openai.com",
  "ae.api.openai.com",
  "resource.openai.azure.com",
  "resource.cognitiveservices.azure.com",
  "resource.services.ai.azure.com",
  "api.anthropic.com",
  "api.deepseek.com",
  "api.mistral.ai",
  "api.groq.com",
  "api.x.ai",
  "openrouter.ai",
  "generativelanguage.googleapis.com",
  "chatgpt.com",
]

/**
 * This machine is not proxied: its base URL has to be reached directly (a request for the proxy's own address that
 * comes through it is refused), and so have local model servers.
 */
const DIRECT = ["localhost", "127.0.0.1", "::1"]

export interface EnvironmentInput {
  /** http://127.0.0.1:8080. */
  readonly proxyUrl: string
  /** Our CA's certificate, and the bundle of the system's roots with it. */
  readonly caFile: string
  readonly bundleFile: string
  /** wget's settings, which name the bundle. */
  readonly wgetFile: string
  /** What the variables are now. */
  readonly env: Environment
  /** Hosts besides API_HOSTS that NO_PROXY must not hide. */
  readonly targets: readonly string[]
}

export function proxyEnvironment(input: EnvironmentInput): Environment {
  const { proxyUrl, caFile, bundleFile, wgetFile, env, targets } = input
  const variables: Record<string, string | undefined> = {}
  for (const name of PROXY_VARIABLES) {
    variables[name] = proxyUrl
    variables[name.toLowerCase()] = proxyUrl
  }
  const noProxy = visibleNoProxy(env.no_proxy ?? env.NO_PROXY, [...API_HOSTS, ...targets])
  variables.NO_PROXY = noProxy
  variables.no_proxy = noProxy
  for (const name of ADDING_VARIABLES) {
    const had = env[name]
    // Who had a root of their own keeps it: the bundle holds what these variables named.
    variables[name] = had && had !== caFile && had !== bundleFile ? bundleFile : caFile
  }
  for (const name of BUNDLE_VARIABLES) variables[name] = bundleFile
  variables[WGET_VARIABLE] = wgetFile
  variables.NODE_USE_ENV_PROXY = "1"
  return variables
}

/** NO_PROXY without the entries that hide a target, and with this machine. */
export function visibleNoProxy(text: string | undefined, targets: readonly string[]): string {
  const kept = entriesOf(text).filter((entry) => !targets.some((host) => hides(entry, host)))
  return [...kept, ...DIRECT.filter((name) => !kept.includes(name))].join(",")
}

/** The entries of NO_PROXY that hide one of the hosts. */
export function hidingEntries(text: string | undefined, hosts: readonly string[]): string[] {
  return entriesOf(text).filter((entry) => hosts.some((host) => hides(entry, host)))
}

function entriesOf(text: string | undefined): string[] {
  return (text ?? "").split(/[\s,]+/).filter((entry) => entry !== "")
}

/** "*", "openai.com", ".openai.com", "*.openai.com", "api.openai.com:443": a name stands for all names below it. */
function hides(entry: string, host: string): boolean {
  const name = entry
    .toLowerCase()
    .replace(/:\d+$/, "")
    .replace(/^\*?\./, "")
  return name === "*" || host === name || host.endsWith(`.${name}`)
}
