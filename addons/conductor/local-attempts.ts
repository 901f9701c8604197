/**
 * The local hosts, one after the other, until one answers: who is left alone, who has too small a window (skipped, not
 * tried), who failed before the first word. What became of each is told; what follows from it is the conductor's.
 */
import type { AddonContext, Answer, AnswerFailure, Clock, Completion, Flow, LlmFlow, TokenCount } from "llmproxy"
import { Health } from "llmproxy/targets"
import { JUDGES_EMPTY } from "../shared/local-answers.ts"
import { countedBy, countedWith, estimated, type Measure, type Room, roomFor } from "./decision.ts"
import { countsWhileBusy, hostCount } from "./host-count.ts"
import { canCount } from "./host-kind.ts"
import { LocalAsk, type Question } from "./local-ask.ts"
import { LocalForms } from "./local-form.ts"
import { type HostFacts, LocalHosts, type Named, whyFailed } from "./local-host.ts"
import { localBases, type OPTIONS } from "./options.ts"
import { Patience } from "./patience.ts"
import { join, linesIn, type Place, QueueMetrics } from "./queue.ts"
import { Ratios } from "./ratios.ts"
import { mappedModel } from "./routing.ts"
import { Vocabularies } from "./vocabularies.ts"

/** At most this part of a known window is kept free for the answer: a small one would have no room for a prompt. */
const RESERVE_PART = 0.25
/** A prompt so many times too long by our estimate is not sent to a host to be counted. */
const HOPELESS = 2

/** A request on its way to a local host. */
export interface Ticket {
  readonly count: TokenCount
  /** Tokens that the client wants for the answer at most. */
  readonly asked: number | undefined
  /** Whether it is local whatever it measures, as far as a host can take it. */
  readonly isForced: boolean
  /** Whether the cloud may have it instead: else every host is tried, also one that failed just now. */
  readonly mayLeave: boolean
}

/** Why a host did not answer. */
export interface Miss {
  readonly base: string
  /** `small`: its window; `resting`: it failed a while ago; `failed`: just now; `cut`: it answered to a part of the prompt. */
  readonly kind: "small" | "resting" | "failed" | "cut"
  readonly why: string
  readonly room: Room
  readonly failure: AnswerFailure | undefined
  /** Whether the host found the prompt too long, or has cut it. */
  readonly isOverflow: boolean
}

export interface Taken {
  readonly answer: Answer
  /** The answer, where it is empty and another addon asks again. */
  readonly empty: Completion | undefined
  readonly room: Room
  readonly base: string
}

/** Milliseconds that the first request waits for what was learnt before this start; it serves later ones if it is late. */
const RATIOS_MS = 1_500

export class LocalAttempts {
  readonly hosts: LocalHosts
  readonly forms: LocalForms
  readonly vocabularies: Vocabularies
  readonly #options: AddonContext<typeof OPTIONS>["options"]
  readonly #health: Health
  readonly #ratios: Ratios
  readonly #ask: LocalAsk
  readonly #clock: Clock
  readonly #lines: ReturnType<typeof linesIn>
  readonly #queue: QueueMetrics
  /** The place in a line that a flow has, until its answer is delivered or has failed. */
  readonly #places = new WeakMap<Flow, Place>()

  constructor({ options, state, clock, log, records, tokens, metrics }: AddonContext<typeof OPTIONS>) {
    this.#options = options
    this.#clock = clock
    this.hosts = new LocalHosts(options, clock)
    this.forms = new LocalForms(options)
    this.vocabularies = new Vocabularies({ tokens, log, clock })
    this.#health = new Health(state, clock)
    const lost = (thrown: unknown) =>
      log.debug(`ratios are not kept: ${thrown instanceof Error ? thrown.message : thrown}`)
    this.#ratios = new Ratios(state, records("ratios"), lost)
    this.#ask = new LocalAsk(options, this.hosts, this.#ratios)
    this.#lines = linesIn(state)
    this.#queue = new QueueMetrics({ metrics, clock }, "conductor")
  }

  /** The room by what is known without asking; undefined where a host may have to say. */
  roomBefore({ llm: { request } }: LlmFlow, ticket: Ticket): Room | undefined {
    void this.#ratios.load()
    const bases = localBases(this.#options)
    if (ticket.isForced || this.vocabularies.isUsed) return undefined
    if (bases.some((base) => canCount(this.hosts.peek(base)?.kind))) return undefined
    const models = bases.map((base) => this.hosts.peekModel(base, this.#named(request.model)))
    const ratios = [undefined, ...models.flatMap(({ id }) => id ?? [])].map((model) =>
      this.#ratios.of(model, this.#options.tokenRatio),
    )
    const smallest = ratios.reduce((low, ratio) => (ratio.value < low.value ? ratio : low))
    const windows = models.map(({ context }) => context)
    const isKnown = windows.every((window) => window !== undefined)
    const context = isKnown ? Math.max(...windows) : undefined
    return this.#roomOf(estimated(ticket.count.tokens, smallest), ticket, { context })
  }

  #named(model: string): Named {
    return { wanted: mappedModel(this.#options.modelMap, model), asked: model }
  }

  /** Gives up the flow's place in a line. */
  leave(flow: Flow): void {
    this.#places.get(flow)?.leave()
  }

  async take(flow: LlmFlow, ticket: Ticket): Promise<Taken | readonly Miss[]> {
    const misses: Miss[] = []
    const patience = new Patience(this.#clock)
    for (const base of localBases(this.#options)) {
      const result = await this.#try(flow, base, ticket, patience)
      if ("answer" in result) return result
      misses.push(result)
      if (result.failure?.kind === "addon") break // Another host is asked for nothing that an addon has stopped.
    }
    return misses
  }

  async #try(
    flow: LlmFlow,
    base: string,
    ticket: Ticket,
    patience: Patience,
    isRenewed = false,
  ): Promise<Taken | Miss> {
    const { request } = flow.llm
    const { tokenRatio, cooldownMs } = this.#options
    const unknown = this.#roomOf(
      estimated(ticket.count.tokens, this.#ratios.of(undefined, tokenRatio)),
      ticket,
      undefined,
    )
    const miss = (kind: Miss["kind"], why: string, room = unknown, failure?: AnswerFailure): Miss => {
      return { base, kind, why, room, failure, isOverflow: isOverflow(failure) }
    }
    const rest = this.#health.restOf(base)
    if (rest !== undefined && ticket.mayLeave)
      return miss("resting", `${rest.why}; left alone for ${Math.ceil(rest.ms / 1_000)} s more`)
    const facts = await this.hosts.about(flow, base, this.#named(request.model), patience)
    if (typeof facts === "string") {
      this.#health.failed(base, facts, cooldownMs)
      return miss("failed", facts)
    }
    const measured = await this.#measure(flow, facts, ticket, patience)
    if (typeof measured === "string") return miss("failed", measured)
    const { room, question } = measured
    if (!this.#fits(room, facts, ticket)) {
      const renewal = isRenewed ? undefined : this.hosts.renewal(base)
      if (renewal === undefined) return miss("small", "", room)
      await flow.waitFor(renewal) // The window may be another one by now.
      return this.#try(flow, base, ticket, patience, true)
    }
    const place = join(this.#lines, base, () => this.#options.localConcurrency)
    this.#places.set(flow, place)
    const over = place.isGranted ? () => {} : this.#queue.begin(new URL(base).host)
    await flow.waitFor(place.granted).finally(over)
    const { answer, cutTo } = await this.#ask.ask(flow, question)
    const empty = cutTo === undefined ? await emptyForJudge(flow, answer, ticket) : undefined
    if (cutTo === undefined && (answer.failure === undefined || empty !== undefined)) {
      this.#health.succeeded(base)
      return { answer, empty, room, base }
    }
    const why = cutTo === undefined ? whyFailed(answer) : `the host cut the prompt to ${cutTo} tokens`
    if (isOfHost(answer.failure)) this.#health.failed(base, why, cooldownMs)
    if (answer.failure?.kind === "connect" || isOverflow(answer.failure)) this.hosts.forget(base)
    answer.abort()
    place.leave()
    return {
      ...miss(cutTo === undefined ? "failed" : "cut", why, room, answer.failure),
      isOverflow: cutTo !== undefined || isOverflow(answer.failure),
    }
  }

  /** The request for this host, and the room that it needs there; a text says why it cannot be written. */
  async #measure(
    flow: LlmFlow,
    facts: HostFacts,
    ticket: Ticket,
    patience: Patience,
  ): Promise<{ room: Room; question: Question } | string> {
    const { tokens } = ticket.count
    await flow.waitFor(patience.upTo(RATIOS_MS, this.#ratios.load())) // Begun with the request: mostly it is there.
    const guess = this.#roomOf(estimated(tokens, this.#ratios.of(facts.model, this.#options.tokenRatio)), ticket, facts)
    try {
      const form = await this.forms.formFor(flow.llm.request, facts)
      const question = { facts, form, tokens, left: guess.left }
      const measure =
        (await this.#countByHost(flow, question, guess, patience)) ?? (await this.#countByVocabulary(flow, question))
      if (measure === undefined) return { room: guess, question }
      const room = this.#roomOf(measure, ticket, facts)
      return { room, question: { ...question, left: room.left } }
    } catch (thrown) {
      if (flow.error !== undefined) throw thrown // The client has left.
      return thrown instanceof Error ? thrown.message : String(thrown)
    }
  }

  /** By the host itself; undefined where it cannot, or not now. */
  async #countByHost(flow: LlmFlow, question: Question, guess: Room, patience: Patience): Promise<Measure | undefined> {
    const { facts, tokens } = question
    const isBusy = this.#lines.has(facts.base) && !countsWhileBusy(facts.kind)
    if (!this.hosts.counts(facts) || isBusy || guess.needed > guess.limit * HOPELESS) return undefined
    const asked = this.#ask.write(flow.llm.request, question)
    const prompt = await patience.during(() => {
      return hostCount(flow, facts, asked, { key: this.#options.localKey, timeoutMs: patience.leftMs })
    })
    if (prompt === "never") this.hosts.cannotCount(facts)
    if (typeof prompt !== "number") return undefined
    this.#ratios.learn(facts.model, tokens, prompt)
    return countedBy(facts.kind, tokens, prompt)
  }

  /** With the model's own vocabulary; undefined without one. */
  async #countByVocabulary(flow: LlmFlow, question: Question): Promise<Measure | undefined> {
    const { facts, tokens } = question
    const { request } = flow.llm
    const vocabulary = this.vocabularies.of(facts.model ?? request.model)
    if (vocabulary === undefined) return undefined
    const { prompt } = this.#ask.write(request, question).json
    const counting = typeof prompt === "string" ? vocabulary.countPrompt(prompt) : vocabulary.countRequest(request)
    const count = await flow.waitFor(counting)
    // The learnt ratio is nearer than a guess from bytes.
    return count.method === vocabulary.method ? countedWith(vocabulary.name, tokens, count) : undefined
  }

  #roomOf(measure: Measure, { asked, isForced }: Ticket, facts: Pick<HostFacts, "context"> | undefined): Room {
    const { answerReserve, maxTokenCount } = this.#options
    const context = facts?.context
    const limit = isForced ? (context ?? maxTokenCount) : Math.min(context ?? maxTokenCount, maxTokenCount)
    const reserve = context === undefined ? answerReserve : Math.min(answerReserve, Math.floor(context * RESERVE_PART))
    return roomFor(measure, asked, { answerReserve: reserve, limit })
  }

  /** What has to be local and whose host does not say how much it takes is tried. */
  #fits(room: Room, { context }: HostFacts, { isForced }: Ticket): boolean {
    return room.fits || (isForced && context === undefined)
  }
}

/**
 * An answer that is empty, where an addon behind this one has said that it asks again then. A host that will not answer
 * is none of its business, nor are several answers.
 */
async function emptyForJudge(flow: Flow, answer: Answer, { mayLeave }: Ticket): Promise<Completion | undefined> {
  const judges = JUDGES_EMPTY.of(flow)
  if (answer.failure?.kind !== "empty" || judges === undefined || (judges !== "always" && mayLeave)) return undefined
  try {
    const completion = await answer.completion()
    const { choices, finishReason } = completion
    const { unified } = finishReason
    return choices.length > 1 || unified === "contentFilter" || unified === "cut" ? undefined : completion
  } catch {
    return undefined // Nothing that could be handed on: no byte has come.
  }
}

/** Whether the next request would fare no better: not where this one was at fault. */
function isOfHost(failure: AnswerFailure | undefined): boolean {
  if (failure === undefined || isOverflow(failure)) return false
  if (failure.kind === "addon") return false
  return (
    failure.kind === "connect" || failure.kind === "cut" || failure.status >= 500 || failure.error?.kind === "loading"
  )
}

function isOverflow(failure: AnswerFailure | undefined): boolean {
  return failure?.error?.kind === "context_length"
}
