/**
 * Asks one local host, in the form that suits it, once more where it says what was wrong with the question: a model that
 * is gone, a `response_format` that it does not take. Knows nothing of other hosts or of the cloud.
 */
import type { AddonContext, Answer, AnswerFailure, JsonObject, LlmFlow, LlmRequest } from "llmproxy"
import { answerFilter } from "./answer-filter.ts"
import { llamaRequest } from "./llama-request.ts"
import { type HostFacts, keyFields, type LocalHosts } from "./local-host.ts"
import type { LocalForm } from "./local-request.ts"
import { type LocalRequest, localRequest, wantsJsonObject } from "./local-request.ts"
import { ollamaRequest } from "./ollama-request.ts"
import type { OPTIONS } from "./options.ts"
import { mayBeCut, type PromptWatch, watchPrompt, windowOf } from "./prompt-watch.ts"
import type { Ratios } from "./ratios.ts"

/** An answer that comes whole comes after all of its words: it is given so many times the time to the first one. */
const WHOLE_FACTOR = 5

/** Statuses of a request that is refused for what stands in it. */
const REFUSALS: ReadonlySet<number> = new Set([400, 422])
/** Fields without which it would be another request, or none. */
const OF_THE_FORM: ReadonlySet<string> = new Set([
  "model",
  "messages",
  "prompt",
  "stream",
  "stop",
  "max_tokens",
  "options",
])

export interface Question {
  readonly facts: HostFacts
  readonly form: LocalForm
  /** The prompt's tokens as we count. */
  readonly tokens: number
  /** Tokens that are left for the answer. */
  readonly left: number
}

/** An answer, good or not; `cutTo`: it is one to a prompt that the host has cut to so many tokens. */
export interface Asked {
  readonly answer: Answer
  readonly cutTo: number | undefined
}

export class LocalAsk {
  readonly #options: AddonContext<typeof OPTIONS>["options"]
  readonly #hosts: LocalHosts
  readonly #ratios: Ratios

  constructor(options: AddonContext<typeof OPTIONS>["options"], hosts: LocalHosts, ratios: Ratios) {
    this.#options = options
    this.#hosts = hosts
    this.#ratios = ratios
  }

  /** The request as the host would get it. Throws as templates do. */
  write(request: LlmRequest, { facts, form, left }: Question): LocalRequest {
    const { localParams: params } = this.#options
    const { kind, model } = facts
    const { api, wire, template } = form
    const withoutJsonObject = this.#hosts.refusesJsonObject(facts)
    // Others may not know the field, and log probabilities leave as the host's own bytes.
    const wantsUsage = kind !== "OpenAI-compatible" && kind !== "llama-cpp-python" && !leavesAsIs(request, form)
    const sent = localRequest(request, {
      api,
      model,
      params,
      left,
      template,
      withoutJsonObject,
      wantsUsage,
      isBounded: kind === "Ollama" || wire === "ollama",
    })
    for (const name of this.#hosts.unwanted(facts)) if (!(name in request.body)) delete sent.json[name]
    if (wire === "ollama") return ollamaRequest(sent, windowOf(facts))
    return wire === "llamacpp" ? llamaRequest(sent) : sent
  }

  async ask(flow: LlmFlow, question: Question): Promise<Asked> {
    const asked = await this.#send(flow, question)
    const { failure } = asked.answer
    const { facts } = question
    if (failure === undefined) return asked
    if (question.form.wire === "ollama" && failure.error?.kind === "context_length") this.#hosts.keptWord(facts)
    if (failure.error?.kind === "model_not_found") {
      this.#hosts.forget(facts.base)
      const anew = await this.#hosts.about(flow, facts.base, { wanted: undefined, asked: flow.llm.request.model })
      if (typeof anew === "string" || anew.model === facts.model) return asked
      asked.answer.abort()
      return this.#send(flow, { ...question, facts: anew })
    }
    const named = refusedFields(failure, this.write(flow.llm.request, question).json, flow.llm.request)
    if (named.length > 0) {
      this.#hosts.refusedFields(facts, named)
      asked.answer.abort()
      return this.#send(flow, question)
    }
    const isRefused = failure.status === 400 && /response_format|json_object/.test(failure.message)
    if (isRefused && wantsJsonObject(flow.llm.request) && !this.#hosts.refusesJsonObject(facts)) {
      this.#hosts.refusedJsonObject(facts)
      asked.answer.abort()
      return this.#send(flow, question)
    }
    return asked
  }

  async #send(flow: LlmFlow, question: Question): Promise<Asked> {
    const { localKey, localStallMs } = this.#options
    const { facts, form, tokens } = question
    const { request } = flow.llm
    const { path, dialect, json } = this.write(request, question)
    const accept = json.stream === true ? "text/event-stream" : "application/json"
    const headers = { Accept: accept, ...keyFields(localKey) }
    const learn = (actual: number) => this.#ratios.learn(facts.model, tokens, actual)
    const watch = watchPrompt(facts, tokens, learn)
    const transform = leavesAsIs(request, form) ? {} : { transform: transformFor(form, watch) }
    const until = mayBeCut(facts, form, tokens, this.#hosts.keepsWord(facts)) ? "end" : "delta"
    const isWhole = json.stream !== true || until === "end"
    const timeoutMs = isWhole ? localStallMs * WHOLE_FACTOR : localStallMs
    const answer = await flow.send(
      { headers, json },
      { url: facts.base + path, dialect, until, timeoutMs, ...transform },
    )
    return { answer, cutTo: watch.cutTo }
  }
}

/**
 * What only we have put into the request and the host's refusal names: strict hosts take no field that they do not know
 * (transformers serve, 422). What the client has sent is the client's affair, and without the form there is no request.
 */
function refusedFields({ status, message, error }: AnswerFailure, sent: JsonObject, { body }: LlmRequest): string[] {
  if (!REFUSALS.has(status) || error?.kind === "context_length") return []
  const words = new Set(`${message} ${JSON.stringify(error?.raw ?? "")}`.split(/[^A-Za-z0-9_]+/))
  return Object.keys(sent).filter((name) => words.has(name) && !(name in body) && !OF_THE_FORM.has(name))
}

/** Log probabilities and sound are in no delta: such an answer leaves as its own bytes. */
function leavesAsIs({ body }: LlmRequest, { api, wire }: LocalForm): boolean {
  return api === "messages" && wire === "openai" && (Boolean(body.logprobs) || body.audio !== undefined)
}

function transformFor({ api, template }: LocalForm, watch: PromptWatch) {
  const filter = answerFilter(api === "completions" ? template.cut : undefined)
  return (delta: Parameters<typeof filter>[0]) => {
    watch.see(delta)
    return filter(delta)
  }
}
