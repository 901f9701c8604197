/**
 * What becomes of a request that does not fit its model: it is rejected with the numbers, sent to a larger model, or its oldest turns
 * are left out. It is always said: in the answer's field `x-llmproxy-fit`, in the route's reason and in a note that records keep.
 *
 * It stands behind `models`, whose targets tell what they take, and sees each attempt of theirs. What the conductor sends is the
 * conductor's: it measures for itself.
 */
import { type AddonContext, defineAddon, type Flow, type JsonObject, type LlmFlow, UsageError } from "llmproxy"
import { attemptsOf, bodyAt, contextOf, fieldsAt, urlAt, withoutKeys } from "llmproxy/targets"
import { isChat, type Measure, overflowOf, trimmed } from "./fit/measure.ts"
import { contextByName, OPTIONS } from "./fit/options.ts"
import { FIELD, messagesWord, needs, tooLong } from "./fit/words.ts"
import { MODEL_CONTEXT } from "./shared/context-size.ts"
import { Note, ROUTES } from "./shared/local-answers.ts"

/** What was done: the field's text, and the numbers. */
const OUTCOME = new Note<JsonObject & { readonly said: string }>(
  "fit.outcome",
  (value): value is JsonObject & { readonly said: string } =>
    typeof value === "object" && value !== null && "said" in value && typeof value.said === "string",
)
/** Asks `models` for an upstream by its name. */
const UPSTREAM_FIELD = "x-llmproxy-upstream"

export default defineAddon({
  name: "fit",
  options: OPTIONS,
  givesKeys: ({ cloudKey }) => cloudKey !== undefined,
  setup(context) {
    const fit = new Fitting(context)
    return {
      configure: () => fit.check(),
      llmRequest: (flow) => fit.look(flow),
      responseHeaders(flow) {
        const said = OUTCOME.of(flow)?.said
        if (said !== undefined) flow.response?.headers.set(FIELD, said)
      },
    }
  },
})

class Fitting {
  readonly #context: AddonContext<typeof OPTIONS>

  constructor(context: AddonContext<typeof OPTIONS>) {
    this.#context = context
  }

  /** Throws a UsageError where there is no place to send to. */
  check(): void {
    const { action, cloud, cloudKey } = this.#context.options
    if (action === "cloud" && cloud === undefined)
      throw new UsageError("fit.action is cloud, and fit.cloud says not where: name an upstream, or a base URL")
    if (isUrl(cloud) && !(URL.canParse(cloud) && /^https?:/i.test(cloud)))
      throw new UsageError("fit.cloud is no http or https URL: write https://api.openai.com/v1, or an upstream's name")
    if (cloudKey !== undefined && !isUrl(cloud))
      throw new UsageError("fit.cloudKey is for a base URL in fit.cloud; an upstream of models has its own key")
  }

  /** No promise is made for what is known to fit. */
  look(flow: LlmFlow): Promise<void> | undefined {
    if (!isOurs(flow)) return undefined
    const context = this.#contextFor(flow)
    return context === undefined ? undefined : this.#fit(flow, context)
  }

  #contextFor(flow: LlmFlow): number | undefined {
    const { options } = this.#context
    const told = MODEL_CONTEXT.of(flow) ?? contextOf(flow) ?? (flow.parent && MODEL_CONTEXT.of(flow.parent))
    return contextByName(options, flow.llm.request.model) ?? told ?? (options.context > 0 ? options.context : undefined)
  }

  async #fit(flow: LlmFlow, context: number): Promise<void> {
    const { options, tokens } = this.#context
    const measure = await flow.waitFor(overflowOf(flow.llm.request, context, options, tokens))
    if (measure === undefined) return
    if (options.action === "trim") await this.#trim(flow, measure)
    else if (options.action === "cloud") await this.#toCloud(flow, measure)
    else this.#reject(flow, measure)
  }

  #reject(flow: LlmFlow, measure: Measure, why?: string): void {
    const { prompt, reserve, context } = measure
    this.#say(flow, measure, `rejected: ${prompt + reserve} of ${context} tokens`, { action: "reject" })
    const message = tooLong(flow.llm.dialect, measure, why)
    const error = { code: "context_length_exceeded", type: "invalid_request_error", param: "messages", message }
    flow.respond({ status: 400, error })
  }

  async #trim(flow: LlmFlow, measure: Measure): Promise<void> {
    const { options, tokens } = this.#context
    const { request } = flow.llm
    if (!isChat(request)) return this.#reject(flow, measure, "What is no list of messages cannot be trimmed.")
    const { fits, kept, dropped, keptTokens, leastTokens } = await flow.waitFor(
      trimmed(request, measure, options, tokens),
    )
    if (!fits) {
      const least = `Even the system prompt, the first message and the last turn are ${leastTokens} tokens.`
      return this.#reject(flow, measure, least)
    }
    const { messages } = request
    request.messages = kept.flatMap((index) => messages[index] ?? [])
    const said = `trimmed ${messagesWord(dropped.length)}`
    this.#say(flow, measure, said, { action: "trim", messages: dropped.length, keptTokens })
  }

  async #toCloud(flow: LlmFlow, measure: Measure): Promise<void> {
    const { cloud = "", cloudModel, cloudKey } = this.#context.options
    if (flow.localOnly) return this.#reject(flow, measure, "It is to stay local, so that no larger model is asked.")
    if (cloudKey !== undefined && !flow.client.mayUseKeys)
      return this.#reject(flow, measure, "The larger model's key is not given to clients that have not authenticated.")
    const said = `cloud: ${needs(measure)}`
    this.#say(flow, measure, said, { action: "cloud" })
    if (!isUrl(cloud)) return this.#toUpstream(flow, cloud)
    const headers = cloudKey === undefined ? {} : { headers: keyFields(flow, cloudKey) }
    flow.route({ url: urlAt({ url: cloud }, withoutKeys(flow.request.path)), name: ROUTES.cloud, ...headers })
    if (cloudModel !== undefined) flow.llm.request.model = cloudModel
  }

  /** By way of `models`, which knows the upstream and its key. */
  async #toUpstream(flow: LlmFlow, upstream: string): Promise<void> {
    const { cloudModel: model } = this.#context.options
    const { method, headers } = flow.request
    const fields = fieldsAt({ headers: { [UPSTREAM_FIELD]: upstream } }, headers)
    const bytes = bodyAt(model === undefined ? {} : { model }, flow)
    // As the client has asked, also where this is an attempt at another host, which `models` does not see: it has sent it.
    const asked = flow.parent ?? flow
    const { pathname, search } = new URL(asked.original.url)
    const answer = await asked.send({ method, headers: fields, bytes }, { url: withoutKeys(pathname + search) })
    flow.route({ name: ROUTES.cloud })
    flow.respond(answer)
  }

  /** In the record, in the answer's head, and in the route's reason: of the client's flow, too, where it is an attempt for one. */
  #say(flow: LlmFlow, measure: Measure, said: string, more: JsonObject): void {
    const outcome = { said, ...more, prompt: measure.prompt, reserve: measure.reserve, context: measure.context }
    OUTCOME.write(flow, outcome)
    if (flow.parent !== undefined) OUTCOME.write(flow.parent, outcome)
    const reason = [flow.routed?.reason, said].filter(Boolean).join("; ")
    flow.route({ reason })
    this.#context.log.info(`${flow.llm.request.model}: ${said}`)
  }
}

/**
 * Whether the request is one that is to be looked at: not what another addon's child asks for its own purposes, but the attempts of
 * targets, and what is asked at the proxy's own address; and not what the conductor has decided on.
 */
function isOurs({ parent, baseUrl, routed }: Flow): boolean {
  if (parent !== undefined) return baseUrl || attemptsOf(parent).length > 0
  const isConducted = routed?.url === undefined && (routed?.name === ROUTES.cloud || routed?.name === ROUTES.local)
  return !isConducted
}

function isUrl(cloud: string | undefined): cloud is string {
  return cloud?.includes(":") === true
}

function keyFields({ llm }: Pick<LlmFlow, "llm">, key: string): Record<string, string> {
  return llm.dialect === "anthropic-messages" ? { "x-api-key": key } : { Authorization: `Bearer ${key}` }
}
