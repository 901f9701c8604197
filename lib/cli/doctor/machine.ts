/**
 * Checks of the machine itself: Node, the port, the variables that hide hosts from a proxy, the CA.
 */
import { caPaths } from "../../../certs/ca.ts"
import { messageOf, StartError } from "../../base/errors.ts"
import { baseUrlOf } from "../../options/core.ts"
import { OWN_SERVER } from "../../proxy/access/refusal.ts"
import { type ModeAddress, modeAddresses, parseMode } from "../../proxy/session/mode.ts"
import { nodeWarning } from "../node-version.ts"
import { API_HOSTS, hidingEntries } from "../run/environment.ts"
import type { Finding, Patient } from "./check.ts"

/** What package.json's engines ask for. */
const NODE_LEAST = [20, 19]

export async function checkNode({ nodeVersion }: Patient): Promise<Finding[]> {
  const [major = 0, minor = 0] = nodeVersion.split(".").map(Number)
  const [leastMajor = 0, leastMinor = 0] = NODE_LEAST
  const fix = "install Node 24 LTS from https://nodejs.org"
  if (major < leastMajor || (major === leastMajor && minor < leastMinor))
    return [{ mark: "bad", text: `Node ${nodeVersion} is too old: ${NODE_LEAST.join(".")} or later is needed`, fix }]
  const warning = nodeWarning(nodeVersion)
  if (warning === undefined) return [{ mark: "good", text: `Node ${nodeVersion}` }]
  return [{ mark: "note", text: warning, fix }]
}

/** Each listener that --mode asks for, one after the other. */
export async function checkPort(patient: Patient): Promise<Finding[]> {
  const { host, port, mode } = patient.values
  const findings: Finding[] = []
  for (const address of modeAddresses(mode.map(parseMode), { host, port }))
    findings.push(await portFinding(patient, address, mode.length > 0))
  return findings
}

async function portFinding(patient: Patient, address: ModeAddress, isNamed: boolean): Promise<Finding> {
  const { host, port, text: mode } = address
  const place = isNamed ? `${mode}: port ${port} of ${host}` : `port ${port} of ${host}`
  if (port === 0) return { mark: "good", text: isNamed ? `${mode}: a free port is taken` : "port: a free one is taken" }
  const state = await patient.listens(host, port)
  if (state === "free") return { mark: "good", text: `${place} is free` }
  if (state !== "EADDRINUSE")
    return { mark: "bad", text: `${place} cannot be used (${state})`, fix: "choose others with -p PORT and --host" }
  if (await isOurs(patient, baseUrlOf(host, port)))
    return { mark: "good", text: `${place}: an llmproxy listens there already` }
  return { mark: "bad", text: `${place} is taken by another program`, fix: "choose another port with -p PORT" }
}

/** Whether an llmproxy answers there: its own paths are never forwarded. What it says tells nothing: LM Studio says the path. */
export async function isOurs(patient: Patient, url: string): Promise<boolean> {
  const reply = await patient.ask(`${url}/.llmproxy/`)
  return reply.kind === "answer" && reply.server === OWN_SERVER
}

export async function checkNoProxy({ env, values }: Patient): Promise<Finding[]> {
  const { baseUpstream } = values
  const hosts = URL.canParse(baseUpstream) ? [...API_HOSTS, new URL(baseUpstream).hostname] : API_HOSTS
  for (const name of ["no_proxy", "NO_PROXY"]) {
    const entries = hidingEntries(env[name], hosts)
    if (entries.length === 0) continue
    const text = `${name} hides LLM hosts from the proxy: ${entries.join(", ")}`
    return [{ mark: "bad", text, fix: 'remove them, or let `llmproxy run` or `eval "$(llmproxy env)"` do it' }]
  }
  return [{ mark: "good", text: "NO_PROXY hides no LLM host" }]
}

export async function checkCa(patient: Patient): Promise<Finding[]> {
  const { pem } = caPaths(patient.confdir)
  try {
    const ca = await patient.loadCa()
    if (ca === undefined) return [{ mark: "note", text: `no CA yet: the first start makes ${pem}` }]
    const until = ca.cert.validTo
    const state: Finding = { mark: "good", text: `CA ${pem}, valid until ${until}` }
    const warnings = ca.warnings.map((text): Finding => ({ mark: "note", text }))
    return [state, ...warnings, trustFinding(await patient.isTrusted(ca))]
  } catch (thrown) {
    if (!(thrown instanceof StartError)) throw thrown
    return [{ mark: "bad", text: messageOf(thrown), fix: `move ${pem} away to have a new CA made, and trust that one` }]
  }
}

function trustFinding(trusted: "yes" | "no" | "unknown"): Finding {
  if (trusted === "yes") return { mark: "good", text: "the system trusts the CA" }
  const text =
    trusted === "no"
      ? "the system does not trust the CA: only programs started by `llmproxy run`, or after `llmproxy env`, do"
      : "whether the system trusts the CA cannot be seen on this platform"
  return { mark: "note", text, fix: "`llmproxy ca trust` prints the commands" }
}
