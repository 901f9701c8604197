/**
 * How an addon that runs models tells `models` of them: it publishes `models.offer` when they are there, `models.withdraw` when
 * they are gone, and its offer again whenever `models.wanted` is heard, because nobody knows which of the two is loaded first.
 */
import { type Events, isLoopbackHost, isObject, type JsonObject, type JsonValue } from "llmproxy"

export const OFFER = "models.offer"
export const WITHDRAW = "models.withdraw"
export const WANTED = "models.wanted"

export interface Offer {
  /** The upstream's name, as in "local-model"; an upstream of the options that is called so comes before it. */
  readonly name: string
  /** A base URL on this machine, as in "http://127.0.0.1:41234/v1". */
  readonly url: string
  /** What it answers to, aliases included. */
  readonly models: readonly string[]
  /** Tokens that its models take together. */
  readonly context?: number
}

/** What the shipped addons offer: routes may name these before they are there. */
export const OFFERED: readonly string[] = ["local-model"]
/** Of one event as much as it can carry. */
const MODELS_MAX = 100

/** Undefined: it is no offer that can be taken. Only what is on this machine can be offered. */
export function offerFrom(value: JsonValue): Offer | undefined {
  if (!isObject(value)) return undefined
  const { name, url, models, context } = value
  if (typeof name !== "string" || !/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name)) return undefined
  if (typeof url !== "string" || !URL.canParse(url) || !Array.isArray(models)) return undefined
  const { protocol, hostname } = new URL(url)
  if (protocol !== "http:" || !isLoopbackHost(hostname.replace(/^\[|\]$/g, ""))) return undefined
  const names = models
    .flatMap((model) => (typeof model === "string" && model !== "" ? [model] : []))
    .slice(0, MODELS_MAX)
  return { name, url, models: names, ...(typeof context === "number" ? { context } : {}) }
}

/** Offers, now and to whoever asks later; what it resolves to ends that. */
export async function offerModels(events: Events, offer: Offer): Promise<() => Promise<void>> {
  const { name, url, models, context } = offer
  const told: JsonObject = { name, url, models: [...models], ...(context === undefined ? {} : { context }) }
  const stop = await events.subscribe(WANTED, () => events.publish(OFFER, told))
  await events.publish(OFFER, told)
  return async () => {
    await stop()
    await events.publish(WITHDRAW, { name })
  }
}
