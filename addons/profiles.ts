/**
 * Named presets: a model, parameters, a system prompt, a template. One is chosen by a request's header, by its model
 * (`profile:NAME`), by the key that asks, or for all; docs/profiles.md says how. It stands before `models`, which sends what
 * `llmRequest` finds, and behind `sessions`, whose conversation a template holds.
 */
import { type AddonContext, defineAddon, type Flow, type LlmFlow } from "llmproxy"
import { applyParameters, applySystem, applyTemplate } from "./profiles/apply.ts"
import { ProfileBook } from "./profiles/book.ts"
import { Choices, type Chosen, FOR_ALL } from "./profiles/choices.ts"
import { Contexts } from "./profiles/contexts.ts"
import { chooserOf, serveSwitch } from "./profiles/endpoint.ts"
import { OPTIONS } from "./profiles/options.ts"
import type { Profile } from "./profiles/profile.ts"
import { sendRaw } from "./profiles/raw.ts"
import { claimsOf } from "./shared/claims.ts"
import { MODEL_CONTEXT } from "./shared/context-size.ts"
import { PROFILE_ALIAS as ALIAS, tellListed } from "./shared/listed-names.ts"
import { Note } from "./shared/local-answers.ts"

const FIELD = "x-llmproxy-profile"
/** Models that a host of llama.cpp's kind serves, which takes raw prompts. */
const LOCAL_FILE = /\.gguf$/i

/** The profile that a flow has. */
const PROFILE = new Note<string>("profiles.profile", (value): value is string => typeof value === "string")

/** What was chosen for a flow. */
type Picked =
  | { readonly profile: Profile; readonly model: string | undefined; readonly isHeaders: boolean }
  | { readonly wrong: string }

export default defineAddon({
  name: "profiles",
  // What cannot be looked up would be asked of another model.
  onError: "block",
  options: OPTIONS,
  setup(context) {
    const profiles = new Profiles(context)
    return {
      load: () => profiles.load(),
      configure: () => profiles.configure(),
      running: () => void profiles.contexts.ask(),
      requestHeaders: (flow) => profiles.choose(flow),
      llmRequest: (flow) => profiles.apply(flow),
      done: () => profiles.book.close(),
    }
  },
})

class Profiles {
  readonly book: ProfileBook
  readonly contexts: Contexts
  readonly #context: AddonContext<typeof OPTIONS>
  readonly #choices: Choices
  readonly #picked = new WeakMap<Flow, Picked>()
  /** Models whose hosts have refused raw prompts. */
  readonly #unraw = new Set<string>()
  #tellListed: () => Promise<void> = async () => {}

  constructor(context: AddonContext<typeof OPTIONS>) {
    this.#context = context
    this.#choices = new Choices(context.records("choices"), context.clock)
    this.book = new ProfileBook(context.clock, context.log, () => {
      this.#unraw.clear()
      this.contexts.warn()
      this.#tellListed().catch((thrown: unknown) => context.log.warn(`its names are not told: ${String(thrown)}`))
    })
    this.contexts = new Contexts(context, () => this.book.all)
    serveSwitch(context, this.book, this.#choices)
  }

  async load(): Promise<void> {
    await this.contexts.listen()
    // Without a model it is no name for one.
    const listed = () =>
      this.book.all.flatMap(({ name, model }) => (model === undefined ? [] : [{ id: `${ALIAS}${name}`, model }]))
    this.#tellListed = await tellListed(this.#context.events, listed)
  }

  /** Rejects with a UsageError. */
  configure(): Promise<void> {
    const { list, file, default: fallback } = this.#context.options
    return this.book.configure({ list, file, default: fallback })
  }

  /** The head is there: what does not hang on the model is chosen, so that others know how much it takes. */
  choose(flow: Flow): void | Promise<void> {
    const field = flow.request.headers.get(FIELD)?.trim()
    flow.request.headers.delete(FIELD)
    // What addons ask for a client's flow has its profile already.
    if (flow.parent !== undefined || flow.turn !== undefined || flow.dialect === undefined) return undefined
    if (field !== undefined && field !== "") return this.#pick(flow, this.#named(field, `${FIELD} names`, true))
    if (!flow.baseUrl || (this.book.all.length === 0 && claimsOf(flow.client)?.profile === undefined)) return undefined
    const found = this.#usual(flow)
    if (found instanceof Promise) return flow.waitFor(found).then((picked) => this.#pick(flow, picked))
    return this.#pick(flow, found)
  }

  /** No promise is made for what has no profile. */
  apply(flow: LlmFlow): Promise<void> | undefined {
    const picked = this.#picked.get(flow)
    const isAlias = flow.llm.request.model.startsWith(ALIAS)
    if ((picked === undefined && !isAlias) || flow.parent !== undefined || flow.turn !== undefined) return undefined
    return this.#apply(flow, picked, isAlias)
  }

  async #apply(flow: LlmFlow, known: Picked | undefined, isAlias: boolean): Promise<void> {
    const { request } = flow.llm
    let picked = known
    if (isAlias && !(picked !== undefined && ("wrong" in picked || picked.isHeaders)))
      picked = this.#named(request.model.slice(ALIAS.length), "the model names")
    if (picked === undefined) return
    if ("wrong" in picked) return refuse(flow, "unknown_profile", picked.wrong)
    this.#pick(flow, picked)
    const { profile, model = profile.model } = picked
    if (model === undefined && isAlias)
      return refuse(
        flow,
        "no_model",
        `the profile "${profile.name}" names no model: send it as ${FIELD}, and the model beside it`,
      )
    PROFILE.write(flow, profile.name)
    if (model !== undefined && request.model !== model) request.model = model
    applyParameters(request, profile, this.contexts.of(profile, model ?? request.model))
    const text = applyTemplate(request, profile)
    if (text === undefined) applySystem(request, profile)
    else if (flow.baseUrl && this.#isRaw(request.model, profile)) await this.#sendRaw(flow, text)
  }

  #isRaw(model: string, { isRaw }: Profile): boolean {
    if (this.#unraw.has(model)) return false
    return isRaw ?? (LOCAL_FILE.test(model) || this.contexts.isOffered(model))
  }

  async #sendRaw(flow: LlmFlow, text: string): Promise<void> {
    if (flow.llm.dialect !== "openai-chat" || (await sendRaw(flow, text))) return
    this.#unraw.add(flow.llm.request.model)
    this.#context.log.info(`${flow.llm.request.model}: its host takes no raw prompts; it gets them as messages`)
  }

  #pick(flow: Flow, picked: Picked | undefined): void {
    if (picked === undefined) return
    this.#picked.set(flow, picked)
    if ("wrong" in picked) return
    const context = this.contexts.of(picked.profile, picked.model ?? picked.profile.model)
    if (context !== undefined) MODEL_CONTEXT.write(flow, context)
  }

  /** By the key, or for all. */
  #usual(flow: Flow): Picked | undefined | Promise<Picked | undefined> {
    const whom = this.#context.options.sharedSwitch ? undefined : chooserOf(flow.client)
    const own = whom === undefined ? undefined : this.#choices.of(whom)
    const shared = this.#choices.of(FOR_ALL)
    if (own instanceof Promise || shared instanceof Promise)
      return Promise.all([own, shared]).then(([first, second]) => this.#among(flow, first, second))
    return this.#among(flow, own, shared)
  }

  #among(flow: Flow, own: Chosen | undefined, shared: Chosen | undefined): Picked | undefined {
    const given = claimsOf(flow.client)?.profile
    const isOwn = own !== undefined && this.book.named(own.profile) !== undefined
    if (!isOwn && given !== undefined) return this.#named(given, "the key names")
    for (const chosen of [own, shared]) {
      const profile = chosen === undefined ? undefined : this.book.named(chosen.profile)
      // One that was taken out of the file since is as if nobody had chosen it.
      if (profile !== undefined) return { profile, model: chosen?.model, isHeaders: false }
    }
    const { fallback } = this.book
    return fallback === undefined ? undefined : this.#named(fallback, "the configuration names")
  }

  #named(name: string, who: string, isHeaders = false): Picked {
    const profile = this.book.named(name)
    if (profile !== undefined) return { profile, model: undefined, isHeaders }
    return {
      wrong: `${who} the profile ${JSON.stringify(name.slice(0, 80))}, and none is called so; ${this.book.names}`,
    }
  }
}

function refuse(flow: LlmFlow, code: string, message: string): void {
  flow.respond({ status: 400, error: { code, message, type: "invalid_request_error" } })
}
