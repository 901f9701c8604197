/**
 * Whether the cloud takes the key: asked by listing models, which costs nothing. The key itself is never shown.
 */
import { blankSecrets } from "../../log.ts"
import { fieldOf } from "./ask.ts"
import type { Finding, Patient } from "./check.ts"

export async function checkCloud({ ask, conductor, values }: Patient): Promise<Finding[]> {
  const base = values.baseUpstream.replace(/\/+$/, "").replace(/\/v1$/, "")
  const { cloudKey: key } = conductor
  if (key === undefined || key === "")
    return [
      {
        mark: "note",
        text: "no cloud key: base-URL requests that bring none stay on this machine",
        fix: "set OPENAI_API_KEY, in the environment or in .env",
      },
    ]
  if (!/^[\x21-\x7e]+$/.test(key))
    return [
      { mark: "bad", text: "the cloud key holds spaces or other characters that no key has", fix: "set it again" },
    ]
  const reply = await ask(`${base}/v1/models`, { headers: { authorization: `Bearer ${key}` } })
  if (reply.kind !== "answer")
    return [
      { mark: "bad", text: `${base} does not answer: ${reply.why}`, fix: "check the network and --base-upstream" },
    ]
  if (reply.status === 200) return [{ mark: "good", text: `${base} takes the cloud key` }]
  const said = blankSecrets(String(fieldOf(reply.json, "error", "message") ?? "").replaceAll(key, "***"))
  const text = `${base} answers the cloud key with ${reply.status}${said === "" ? "" : `: ${said}`}`
  const isRefused = reply.status === 401 || reply.status === 403
  return [{ mark: "bad", text, fix: isRefused ? "set another OPENAI_API_KEY" : "look at the provider's status page" }]
}
