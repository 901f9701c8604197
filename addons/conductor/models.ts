/**
 * `GET /v1/models` at the proxy's own address: the local host's models, then the cloud's where a key is usable. A side
 * that does not answer is left out; only when none does, the client hears of it.
 */
import type { Flow, JsonObject } from "llmproxy"
import { ROUTES } from "../shared/local-answers.ts"
import { type Credentials, staysAtDoor } from "./credentials.ts"
import { askHost, askModels, modelsIn, whyFailed } from "./local-host.ts"

/** Milliseconds that the cloud's list may take; the local host's is quicker. */
const CLOUD_MS = 5_000

export function asksForModels(flow: Flow): boolean {
  const { method, path } = flow.request
  return method === "GET" && /(^|\/v1)\/models\/?(\?|$)/.test(path) && staysAtDoor(flow)
}

/** Answers the flow. */
export async function listModels(
  flow: Flow,
  local: { bases: readonly string[]; key: string | undefined },
  keys: Credentials,
): Promise<void> {
  const fields = keys.fields(flow)
  const [there, ...here] = await Promise.all([
    fields === undefined ? undefined : askHost(flow, flow.request.url, fields, CLOUD_MS),
    ...local.bases.map((base) => askModels(flow, base, local.key)),
  ])
  const lists = await Promise.all(here.map(modelsIn))
  const ours = lists.some((list) => list !== undefined) ? lists.flatMap((list) => list ?? []) : undefined
  const failure = here[0] === undefined ? "none is named" : whyFailed(here[0])
  const theirs = there === undefined ? undefined : await modelsIn(there)
  const reasons = [
    ours === undefined ? `the local host did not answer (${failure})` : `${ours.length} local`,
    there === undefined ? "no key for the cloud" : theirs === undefined ? "the cloud did not answer" : "the cloud's",
  ]
  flow.route({ name: ROUTES.local, reason: `models: ${reasons.join(", ")}` })
  if (ours === undefined && theirs === undefined) {
    const message = `llmproxy: no models to list: ${reasons.join(", ")}. Start the local host at ${local.bases.join(", ")}, or set OPENAI_API_KEY.${keys.dropped}`
    flow.respond({ status: 502, json: { error: { message, type: "api_error", param: null, code: "no_models" } } })
    return
  }
  flow.respond({ status: 200, json: { object: "list", data: merged([...(ours ?? []), ...(theirs ?? [])]) } })
}

/** One entry for each id, the first that has it, with the fields that clients insist on. */
function merged(models: readonly JsonObject[]): JsonObject[] {
  const byId = new Map<string, JsonObject>()
  for (const model of models) {
    const id = String(model.id)
    if (!byId.has(id)) byId.set(id, { object: "model", created: 0, owned_by: "local", ...model, id })
  }
  return [...byId.values()]
}
