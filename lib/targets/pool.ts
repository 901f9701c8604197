/**
 * Sends a flow to one of several targets: one after the other until one answers, each with its line and its health. After
 * the first word of an answer nobody else is asked. Where only one target comes into question the flow itself goes there
 * (`flow.route`), which costs least; else each attempt is a flow of its own, of which the client sees the last one alone.
 */
import type { AddonContext } from "../api/addon.ts"
import type { Answer, AnswerFailure, Flow, RespondOptions } from "../api/flow.ts"
import type { FlowError } from "../base/errors.ts"
import { type Attempt, CONTEXT, note, shortReason, whyElsewhere } from "./attempts.ts"
import { Health, type Standing } from "./health.ts"
import { inOrder, type Order } from "./order.ts"
import { join, type Lines, lengthOf, linesIn, type Place } from "./queue.ts"
import { allFull, keyRefused, keyWithheld, noneLocal, type Refusal } from "./refusal.ts"
import { bodyAt, dropClientsOwn, fieldsAt, hasKey, isWhole, type Target, urlAt, withoutKeys } from "./target.ts"
import { judge, judgeStatus, retryAfterMs, type Verdict } from "./verdict.ts"

/** Requests that wait for one target, where it does not say itself. */
export const WAITING_MAX = 100
/** Milliseconds that the first failure of a target counts; each further one twice as long, up to `REST_MS_MAX`. */
export const COOLDOWN_MS = 5_000
/** Milliseconds until the first word of an answer; where it comes whole, so many times as long. */
export const FIRST_WORD_MS = 120_000
const WHOLE_FACTOR = 5

export interface PoolSettings {
  /** Default: `COOLDOWN_MS`. Read at each failure. */
  readonly cooldownMs?: () => number
  /** Until the first word, of attempts that others may follow. Default: `FIRST_WORD_MS`. */
  readonly timeoutMs?: () => number
  /** A number of [0, 1). Default: Math.random. */
  readonly random?: () => number
  /** Each attempt once its result is known; for metrics. */
  readonly attempted?: (attempt: Readonly<Attempt>, target: Target, flow: Flow) => void
}

/** Where a flow may go, and how. */
export interface Plan {
  /** At least one. */
  readonly targets: readonly Target[]
  /** Default: `listed`. */
  readonly order?: Order
  /** The route's name. Default: the target's. */
  readonly name?: string
  /** Why these, for people; what failed is told behind it. */
  readonly reason?: string
  /** The URL of this request at a target. Default: `urlAt` with the request's path. */
  readonly urlFor?: (target: Target) => string
  /** The body for a target. Default: `bodyAt`; a form that names a model is the caller's affair. */
  readonly bodyFor?: (target: Target) => Uint8Array
  /** How an answer of an attempt is handed on. */
  readonly respond?: RespondOptions
  /** What a client that waits in a line, or for attempts, is kept alive with. Default: it is not, so that statuses stay true. */
  readonly keepAlive?: string
}

/** `routed`: the flow itself goes there. `answered`: it was answered with what that target said, which may be an error. */
export type Taken =
  | { readonly kind: "routed"; readonly target: Target }
  | { readonly kind: "answered"; readonly target: Target; readonly answer: Answer }
  | { readonly kind: "refused"; readonly refusal: Refusal }

/** How a target stands, for lists and pages. */
export interface TargetState {
  /** `resting`: it has failed, and is asked last; `tried`: one request finds out whether it is well again. */
  readonly health: "well" | "resting" | "tried"
  readonly why: string | undefined
  readonly restMs: number
  readonly serving: number
  readonly waiting: number
}

/** What is under way for a flow. */
interface Running {
  readonly target: Target
  readonly attempt: Attempt
  readonly place: Place | undefined
  readonly since: number
  /** Where the flow itself was sent; undefined: to a flow of its own. */
  url?: string
  /** Whether it tries a target that had failed. */
  readonly isTrial: boolean
  /** Whether its outcome has been booked. */
  isKnown: boolean
}

/** An attempt that has failed, and might be what the client is told. */
interface Failed {
  readonly target: Target
  readonly answer: Answer
  readonly verdict: Verdict
}

/** One for an addon, whose `state` keeps what it knows over reloads. */
export class TargetPool {
  readonly #context: Pick<AddonContext, "state" | "clock" | "log">
  readonly #settings: PoolSettings
  readonly #health: Health
  readonly #lines: Lines
  readonly #running = new WeakMap<Flow, Running>()
  /** The hooks that the addon has to have, or to call from its own: by them the pool knows how flows end. */
  readonly hooks: {
    responseHeaders(flow: Flow): void
    response(flow: Flow): void
    error(flow: Flow, error: FlowError): void
  }

  constructor(context: Pick<AddonContext, "state" | "clock" | "log">, settings: PoolSettings = {}) {
    this.#context = context
    this.#settings = settings
    this.#health = new Health(context.state, context.clock)
    this.#lines = linesIn(context.state)
    this.hooks = {
      responseHeaders: (flow) => this.#arrived(flow),
      response: (flow) => this.#ended(flow, undefined),
      error: (flow, error) => this.#ended(flow, error),
    }
  }

  /**
   * Routes or answers the flow; to be called, and awaited, in `requestHeaders`, `request` or `llmRequest`. A flow whose body has
   * not been collected can be sent once: it goes to the first target that has room. No promise is made where
   * there is nothing to wait for. Rejects when the client leaves, or the flow is killed.
   */
  take(flow: Flow, plan: Plan): Taken | Promise<Taken> {
    const { targets, order = "listed" } = plan
    const local = flow.localOnly ? targets.filter(({ isLocal }) => isLocal) : targets
    if (local.length === 0) return this.#refuse(flow, plan, noneLocal(targets))
    const allowed = flow.client.mayUseKeys ? local : local.filter((target) => !hasKey(target))
    if (flow.localOnly)
      flow.keepLocal(
        "its target is local",
        allowed.map(({ url }) => url),
      )
    const { random = Math.random } = this.#settings
    const ordered = inOrder(allowed, order, (target) => this.#health.standingOf(keyOf(target)), random)
    const [first, second] = ordered
    if (first === undefined) return this.#refuse(flow, plan, keyWithheld(local))
    if (second !== undefined && isWhole(flow)) return this.#walk(flow, plan, ordered)
    return this.#routeToFirst(flow, plan, ordered)
  }

  /** How a target stands now. */
  stateOf(target: Target): TargetState {
    const standing: Standing | undefined = this.#health.standingOf(keyOf(target))
    const { serving, waiting } = lengthOf(this.#lines, keyOf(target))
    const health = standing === undefined ? "well" : standing.ms > 0 ? "resting" : "tried"
    return { health, why: standing?.why, restMs: standing?.ms ?? 0, serving, waiting }
  }

  /** The flow itself goes to the first that has room in its line. */
  #routeToFirst(flow: Flow, plan: Plan, ordered: readonly Target[]): Taken | Promise<Taken> {
    for (const target of ordered) {
      if (this.#isFull(flow, target)) continue
      const place = this.#join(target)
      if (place === undefined || place.isGranted) return this.#route(flow, plan, target, place, 0)
      return this.#wait(flow, plan, place).then((waitedMs) => this.#route(flow, plan, target, place, waitedMs))
    }
    return this.#refuse(flow, plan, allFull(ordered))
  }

  #route(flow: Flow, plan: Plan, target: Target, place: Place | undefined, waitedMs: number): Taken {
    const running = this.#begin(flow, target, place, waitedMs)
    const { headers, via, ca } = target
    dropClientsOwn(flow.request)
    running.url = plan.urlFor?.(target) ?? urlAt(target, withoutKeys(flow.request.path))
    flow.route({
      url: running.url,
      ...this.#said(flow, plan, target),
      ...(headers === undefined ? {} : { headers }),
      ...(via === undefined ? {} : { via }),
      ...(ca === undefined ? {} : { ca }),
    })
    if (plan.bodyFor !== undefined) flow.request.bytes = plan.bodyFor(target)
    else if (target.model !== undefined) nameModel(flow, target)
    return { kind: "routed", target }
  }

  /** One target after the other, each in a flow of its own. */
  async #walk(flow: Flow, plan: Plan, ordered: readonly Target[]): Promise<Taken> {
    const stopKeepAlive = plan.keepAlive === undefined ? () => {} : flow.keepAlive(plan.keepAlive)
    let worst: Failed | undefined
    let tooSmall = 0
    for (const target of ordered) {
      if (this.#isTooSmall(flow, target, tooSmall) || this.#isFull(flow, target)) continue
      const place = this.#join(target)
      const waitedMs = place === undefined || place.isGranted ? 0 : await this.#wait(flow, plan, place)
      const running = this.#begin(flow, target, place, waitedMs)
      const answer = await this.#ask(flow, plan, target)
      const { failure } = answer
      const verdict = failure === undefined ? undefined : judgeAmong(failure, target, ordered)
      this.#book(flow, running, { status: answer.status, why: failure?.message, headers: answer.headers, verdict })
      if (verdict?.failsOver !== true) {
        worst?.answer.abort()
        return this.#hand(flow, plan, target, answer)
      }
      place?.leave()
      this.#running.delete(flow)
      if (failure?.error?.kind === "context_length") tooSmall = Math.max(tooSmall, target.context ?? 0)
      if (worst !== undefined && worst.verdict.rank > verdict.rank) answer.abort()
      else {
        worst?.answer.abort()
        worst = { target, answer, verdict }
      }
      if (flow.clientGone) break // Its answer was read on; nobody wants another one.
    }
    if (worst === undefined) {
      stopKeepAlive()
      return this.#refuse(flow, plan, allFull(ordered))
    }
    if (worst.verdict.isKeyRefused) {
      worst.answer.abort()
      return this.#refuse(flow, plan, keyRefused(worst.target, worst.answer.status))
    }
    return this.#hand(flow, plan, worst.target, worst.answer)
  }

  async #ask(flow: Flow, plan: Plan, target: Target): Promise<Answer> {
    const { dialect, via, ca } = target
    const { method, headers, path } = flow.request
    const { timeoutMs = () => FIRST_WORD_MS } = this.#settings
    const isWholeAnswer = flow.llm !== undefined && !flow.llm.request.stream
    try {
      return await flow.send(
        { method, headers: fieldsAt(target, headers), bytes: plan.bodyFor?.(target) ?? bodyAt(target, flow) },
        {
          url: plan.urlFor?.(target) ?? urlAt(target, withoutKeys(path)),
          timeoutMs: timeoutMs() * (isWholeAnswer ? WHOLE_FACTOR : 1),
          ...(dialect === undefined || flow.llm === undefined ? {} : { dialect: flow.llm.dialect }),
          ...(via === undefined ? {} : { via }),
          ...(ca === undefined ? {} : { ca }),
        },
      )
    } catch (thrown) {
      this.#ended(flow, flow.error)
      throw thrown
    }
  }

  #hand(flow: Flow, plan: Plan, target: Target, answer: Answer): Taken {
    flow.route(this.#said(flow, plan, target))
    flow.respond(answer, plan.respond)
    return { kind: "answered", target, answer }
  }

  #refuse(flow: Flow, plan: Plan, refusal: Refusal): Taken {
    const { status, headers = {}, error } = refusal
    const reason = [plan.reason, error.message].filter(Boolean).join("; ")
    flow.route({ reason, ...(plan.name === undefined ? {} : { name: plan.name }) })
    flow.respond({ status, headers, error })
    return { kind: "refused", refusal }
  }

  /** What people are told of the route. */
  #said(flow: Flow, { name, reason }: Plan, target: Target): { name: string; reason?: string } {
    const why = [reason, whyElsewhere(flow)].filter(Boolean).join("; ")
    return { name: name ?? target.name, ...(why === "" ? {} : { reason: why }) }
  }

  /** `tooSmall`: the tokens that a target takes for which the request was too long. */
  #isTooSmall(flow: Flow, target: Target, tooSmall: number): boolean {
    if (tooSmall === 0 || isLarger(target, tooSmall)) return false
    this.#skip(flow, target, `it takes no more than ${tooSmall} tokens, as far as is known`)
    return true
  }

  #skip(flow: Flow, target: Target, reason: string): void {
    const attempt = note(flow, { target: target.name, result: "skipped", reason, waitedMs: 0 })
    this.#settings.attempted?.(attempt, target, flow)
  }

  #isFull(flow: Flow, target: Target): boolean {
    const { concurrency, waiting: most = WAITING_MAX } = target
    if (concurrency === undefined) return false
    const { serving, waiting } = lengthOf(this.#lines, keyOf(target))
    if (serving < concurrency || waiting < most) return false
    this.#skip(flow, target, `${serving} run there and ${waiting} wait`)
    return true
  }

  #join({ concurrency, ...target }: Target): Place | undefined {
    return concurrency === undefined ? undefined : join(this.#lines, keyOf(target), () => Math.max(1, concurrency))
  }

  /** Milliseconds that it took until it was the flow's turn. */
  async #wait(flow: Flow, plan: Plan, place: Place): Promise<number> {
    const { clock } = this.#context
    const since = clock.monotonic()
    const letBe = plan.keepAlive === undefined ? () => {} : flow.keepAlive(plan.keepAlive)
    try {
      await flow.waitFor(place.granted)
    } catch (thrown) {
      place.leave()
      throw thrown
    }
    letBe()
    return clock.monotonic() - since
  }

  #begin(flow: Flow, target: Target, place: Place | undefined, waitedMs: number): Running {
    const attempt = note(flow, { target: target.name, result: "pending", waitedMs })
    const isTrial = this.#health.begin(keyOf(target))
    const since = this.#context.clock.monotonic()
    const running: Running = { target, attempt, place, since, isTrial, isKnown: false }
    this.#running.set(flow, running)
    if (target.context === undefined) delete flow.metadata[CONTEXT]
    else flow.metadata[CONTEXT] = target.context
    return running
  }

  /** What became of an attempt: for the record, and for whoever asks next. */
  #book(
    flow: Flow,
    running: Running,
    {
      status,
      why,
      headers,
      verdict,
    }: {
      readonly status: number
      readonly why: string | undefined
      readonly headers: Answer["headers"] | undefined
      readonly verdict: Verdict | undefined
    },
  ): void {
    const { target, attempt, since, isTrial } = running
    const { clock, log } = this.#context
    const { cooldownMs = () => COOLDOWN_MS } = this.#settings
    running.isKnown = true
    attempt.ms = clock.monotonic() - since
    if (status > 0) attempt.status = status
    attempt.result = verdict?.failsOver === true ? "failed" : "answered"
    const reason = verdict === undefined ? undefined : shortReason(why ?? `status ${status}`)
    if (reason !== undefined) attempt.reason = reason
    if (verdict?.cools === true) {
      const asked = headers === undefined ? 0 : retryAfterMs(headers, clock.now())
      this.#health.failed(keyOf(target), reason ?? "", cooldownMs(), asked)
      log.warn(`${target.name}: ${reason}`)
    } else if (verdict === undefined || !verdict.failsOver) this.#health.succeeded(keyOf(target))
    else if (isTrial) this.#health.dropped(keyOf(target))
    this.#settings.attempted?.(attempt, target, flow)
  }

  /** The head of what a flow was routed to is there. */
  #arrived(flow: Flow): void {
    const running = this.#running.get(flow)
    const { response } = flow
    if (running === undefined || running.isKnown || response === undefined) return
    // Another addon has answered, or sent it elsewhere: nothing is known of the target, and nothing waits for it.
    if (flow.server === undefined || flow.routed?.url !== running.url) {
      this.#ended(flow, undefined)
      return
    }
    const { status, headers } = response
    const verdict = status < 400 ? undefined : judgeStatus(status, running.target)
    this.#book(flow, running, { status, why: undefined, headers, verdict })
    if (verdict?.isKeyRefused === true) {
      const { error, ...refusal } = keyRefused(running.target, status)
      flow.respond({ ...refusal, error })
    }
  }

  #ended(flow: Flow, error: FlowError | undefined): void {
    const running = this.#running.get(flow)
    if (running === undefined) return
    this.#running.delete(flow)
    running.place?.leave()
    if (running.isKnown) return
    if (error?.source === "upstream") {
      const verdict = judge({ kind: "connect", message: error.message, status: 0, error: undefined }, running.target)
      this.#book(flow, running, { status: 0, why: error.message, headers: undefined, verdict })
      return
    }
    if (running.isTrial) this.#health.dropped(keyOf(running.target))
    running.isKnown = true
    running.attempt.result = "left"
    if (error !== undefined) running.attempt.reason = shortReason(error.message)
    this.#settings.attempted?.(running.attempt, running.target, flow)
  }
}

/** A target that is moved elsewhere is another one. */
function keyOf({ name, url }: Pick<Target, "name" | "url">): string {
  return `${name} ${url}`
}

/** What is too long for one is asked of another one that is known to take more. */
function judgeAmong(failure: AnswerFailure, target: Target, all: readonly Target[]): Verdict {
  const verdict = judge(failure, target)
  const isTooLong = failure.error?.kind === "context_length" && all.some((other) => isLarger(other, target.context))
  return isTooLong ? { ...verdict, failsOver: true, cools: false } : verdict
}

function isLarger({ context }: Target, than: number | undefined): boolean {
  return context !== undefined && than !== undefined && context > than
}

/** Puts the target's model into a request that leaves as the flow's own. */
function nameModel(flow: Flow, target: Target): void {
  if (flow.llm !== undefined && target.model !== undefined) flow.llm.request.model = target.model
  else if (isWhole(flow)) {
    const body = bodyAt(target, flow)
    if (body.length > 0 && body !== flow.request.bytes) flow.request.bytes = body
  }
}
