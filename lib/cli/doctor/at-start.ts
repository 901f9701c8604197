/**
 * What the start of a proxy with the conductor says of what it needs: whether there is a key for the cloud, and which
 * model waits at each local host. A look, no more: nothing is asked of a model, and nothing waits for it. `doctor` looks
 * closer.
 */
import { isOpenAiKey, isPlaceholderKey, shownKey } from "../../base/cloud-key.ts"
import { type CoreValues, settingsFrom } from "../../options/core.ts"
import type { OptionSources } from "../../options/sources.ts"
import type { World } from "../world.ts"
import { type Ask, makeAsk } from "./ask.ts"
import { type ConductorValues, conductorValues, DEFAULT_LOCAL_URL } from "./conductor-values.ts"
import { identify, type LocalServer, preferred } from "./local-servers.ts"

/** OpenAI's own site, whose keys have a form. */
const OPENAI = /^https:\/\/([a-z]+\.)?api\.openai\.com(\/|$)/i

export interface StartState {
  readonly cloudKey: string
  /** A line for each local host that the conductor may ask, in its order. Never rejects. */
  readonly localHosts: Promise<readonly string[]>
}

/** Looks. Throws a UsageError for a value of another type than its option's. */
export function stateAtStart(
  { sources, values }: { readonly sources: OptionSources; readonly values: CoreValues },
  { clock, env }: Pick<World, "clock" | "env">,
): StartState {
  const conductor = conductorValues(sources)
  const urls = conductor.localUrls.length === 0 ? [DEFAULT_LOCAL_URL] : conductor.localUrls
  const ask = async (): Promise<Ask> => {
    // Node's own fetch is there; the other one takes long to load, and knows --connect-to and --upstream-ca.
    const isPlain = values.connectTo.length === 0 && urls.every((url) => url.startsWith("http:"))
    if (isPlain && env.NODE_USE_ENV_PROXY === undefined) return makeAsk(clock)
    const { fetchAs } = await import("./fetch.ts")
    return makeAsk(clock, fetchAs(settingsFrom(values)))
  }
  const localHosts = ask().then((asks) => Promise.all(urls.map((url) => localHostState(asks, url, conductor))))
  return { cloudKey: cloudKeyState(conductor, values), localHosts }
}

/** The key that base-URL requests without one of their own get, or why there is none. */
export function cloudKeyState(
  { cloudKey: given, cloudKeyFrom: from }: Pick<ConductorValues, "cloudKey" | "cloudKeyFrom">,
  { baseUpstream }: Pick<CoreValues, "baseUpstream">,
): string {
  const key = given?.trim() ?? ""
  if (key === "") return "none: requests that bring none stay on this machine"
  if (isPlaceholderKey(key)) return `none: what stands in ${from} is a placeholder; requests that bring none stay here`
  if (!/^[\x21-\x7e]+$/.test(key)) return `${from} holds characters that no key has`
  const doubt = OPENAI.test(baseUpstream) && !isOpenAiKey(key) ? "; it does not look like one of OpenAI's (sk-...)" : ""
  return `${shownKey(key)} from ${from}${doubt}`
}

/** Never rejects. */
export async function localHostState(
  ask: Ask,
  url: string,
  { localKey, localModel }: ConductorValues,
): Promise<string> {
  const headers = localKey === undefined ? {} : { authorization: `Bearer ${localKey}` }
  const reply = await ask(`${url}/v1/models`, { headers })
  if (reply.kind !== "answer") return `${url} not reached (${reply.why}); llmproxy doctor looks closer`
  const server = await identify(ask, url, headers)
  if (server === undefined) return `${url} is no model server: GET /v1/models gives ${reply.status}`
  return `${url} ${server.name}, ${modelText(server, localModel)}`
}

function modelText({ models, listsNone }: LocalServer, named: string | undefined): string {
  const model = named === undefined ? preferred(models) : models.find(({ id }) => id === named)
  if (model !== undefined) {
    const context = model.context === undefined ? "" : `, context ${model.context}`
    return `${model.id}${context}${model.isLoaded ? "" : ", not loaded yet"}`
  }
  if (named !== undefined) return listsNone === true || models.length === 0 ? named : `no model named ${named}`
  return listsNone === true ? "which does not tell its models" : "no model: load one there"
}
