/**
 * What the models of profiles take, as far as their hosts say it: by the offers of models on this machine, and by the list of all
 * models. A profile that asks for more is warned of, once, with both numbers.
 */
import type { AddonContext } from "llmproxy"
import { contextsIn } from "../shared/context-size.ts"
import { OFFER, offerFrom, WANTED } from "../shared/local-upstream.ts"
import { maxTokensOf, type Profile } from "./profile.ts"

/** Milliseconds that the list may take. */
const LIST_MS = 10_000
/** Warnings that are remembered as told. */
const TOLD_MAX = 1_000

type Context = Pick<AddonContext, "send" | "events" | "log">

export class Contexts {
  readonly #context: Context
  readonly #profiles: () => readonly Profile[]
  /** Tokens by model. */
  readonly #known = new Map<string, number>()
  /** Models that run on this machine, in llmproxy's own host. */
  readonly #offered = new Set<string>()
  readonly #told = new Set<string>()

  constructor(context: Context, profiles: () => readonly Profile[]) {
    this.#context = context
    this.#profiles = profiles
  }

  async listen(): Promise<void> {
    const { events } = this.#context
    await events.subscribe(OFFER, (value) => {
      const { models = [], context } = offerFrom(value) ?? {}
      for (const model of models) {
        this.#offered.add(model)
        if (context !== undefined) this.#known.set(model, context)
      }
      this.warn()
    })
    await events.publish(WANTED, true)
  }

  /** Asks for the list, where a profile says how long something may be. Never rejects. */
  async ask(): Promise<void> {
    const isOfUse = this.#profiles().some((profile) => profile.model !== undefined && wishesOf(profile).length > 0)
    if (!isOfUse) return
    try {
      const answer = await this.#context.send(
        { method: "GET" },
        { url: "/v1/models", until: "end", timeoutMs: LIST_MS },
      )
      if (answer.failure !== undefined) return
      for (const [model, context] of contextsIn(JSON.parse(await answer.text())))
        if (context !== undefined) this.#known.set(model, context)
      this.warn()
    } catch (thrown) {
      this.#context.log.debug(`what the profiles' models take is not known: ${String(thrown)}`)
    }
  }

  /** Whether it runs in llmproxy's own host, which takes raw prompts. */
  isOffered(model: string): boolean {
    return this.#offered.has(model)
  }

  /** Tokens that a request with this profile may have, prompt and answer together; undefined: not known. */
  of({ context }: Profile, model: string | undefined): number | undefined {
    const known = model === undefined ? undefined : this.#known.get(model)
    if (context === undefined || known === undefined) return context ?? known
    return Math.min(context, known)
  }

  /** Tells of each profile that asks for more than there is. */
  warn(): void {
    for (const profile of this.#profiles()) {
      const { name, model, context } = profile
      const known = model === undefined ? undefined : this.#known.get(model)
      const limit = known ?? context
      if (limit === undefined) continue
      const what = known === undefined ? `n_ctx is ${limit}` : `${model} takes ${limit} tokens`
      for (const [field, tokens] of wishesOf(profile))
        if (tokens > limit) this.#tell(`profile ${name}: ${field} is ${tokens}, and ${what}; ${CURES[field]}`)
    }
  }

  #tell(text: string): void {
    if (this.#told.has(text)) return
    if (this.#told.size >= TOLD_MAX) this.#told.clear()
    this.#told.add(text)
    this.#context.log.warn(text)
  }
}

type Wish = "n_ctx" | "max_tokens"

/** What becomes of it. */
const CURES: Readonly<Record<Wish, string>> = {
  n_ctx: "the smaller one counts",
  max_tokens: "it is left out, so that an answer may take what the prompt leaves",
}

function wishesOf(profile: Profile): readonly [Wish, number][] {
  const max = maxTokensOf(profile)
  return [
    ...(profile.context === undefined ? [] : [["n_ctx", profile.context] as [Wish, number]]),
    ...(max === undefined ? [] : [["max_tokens", max] as [Wish, number]]),
  ]
}
