/**
 * Whether the cloud takes the key: asked by listing models, which costs nothing. The key itself is never shown.
 */
import { isPlaceholderKey } from "../../base/cloud-key.ts"
import { Redactor } from "../../base/secrets/redactor.ts"
import { certificateAdvice, certificateCodeIn } from "../../proxy/tls/certificate-failure.ts"
import { fieldOf } from "./ask.ts"
import type { Finding, Patient } from "./check.ts"

export async function checkCloud({ ask, conductor, env, values }: Patient): Promise<Finding[]> {
  const base = values.baseUpstream.replace(/\/+$/, "").replace(/\/v1$/, "")
  const key = conductor.cloudKey?.trim()
  if (key === undefined || key === "")
    return [
      {
        mark: "note",
        text: "no cloud key: base-URL requests that bring none stay on this machine",
        fix: "set OPENAI_API_KEY, in the environment or in .env",
      },
    ]
  const from = conductor.cloudKeyFrom ?? "the cloud key"
  if (isPlaceholderKey(key)) {
    const text = `what stands in ${from} is a placeholder: it is not used, and base-URL requests that bring no key stay here`
    return [{ mark: "note", text, fix: "set a key there to have a cloud" }]
  }
  if (!/^[\x21-\x7e]+$/.test(key))
    return [
      { mark: "bad", text: "the cloud key holds spaces or other characters that no key has", fix: "set it again" },
    ]
  const reply = await ask(`${base}/v1/models`, { headers: { authorization: `Bearer ${key}` } })
  if (reply.kind !== "answer")
    return [
      {
        mark: "bad",
        text: `${base} does not answer: ${reply.why}`,
        fix: fixFor(reply.why, isBehindProxy(env, values.mode)),
      },
    ]
  if (reply.status === 200) return [{ mark: "good", text: `${base} takes the cloud key` }]
  const redactor = new Redactor()
  redactor.know([key])
  const said = redactor.text(String(fieldOf(reply.json, "error", "message") ?? ""))
  const text = `${base} answers the cloud key with ${reply.status}${said === "" ? "" : `: ${said}`}`
  const isRefused = reply.status === 401 || reply.status === 403
  return [{ mark: "bad", text, fix: isRefused ? "set another OPENAI_API_KEY" : "look at the provider's status page" }]
}

function fixFor(why: string, isBehind: boolean): string {
  const refused = certificateCodeIn(why)
  if (refused !== undefined) return certificateAdvice(refused)
  const further = isBehind
    ? "; doctor asked it directly, llmproxy goes through the proxy of --mode upstream or, under run, of HTTPS_PROXY"
    : ""
  return `check the network and --base-upstream${further}`
}

/** Whether there is a proxy on the way out that doctor does not take: of --mode, or, under `run`, of the environment. */
function isBehindProxy(env: Patient["env"], modes: readonly string[]): boolean {
  return Boolean(env.https_proxy || env.HTTPS_PROXY) || modes.some((mode) => mode.startsWith("upstream:"))
}
