/**
 * Sends a flow to one of several targets: one after the other until one answers, each with its line and its health. After
 * the first word of an answer nobody else is asked. Where only one target comes into question the flow itself goes there
 * (`flow.route`), which costs least; else each attempt is a flow of its own, of which the client sees the last one alone.
 */
import type { AddonContext } from "../api/addon.ts"
import type { Answer, AnswerFailure, Flow } from "../api/flow.ts"
import type { FlowError } from "../base/errors.ts"
import { whyElsewhere } from "./attempts.ts"
import { Books } from "./books.ts"
import { inOrder } from "./order.ts"
import { FIRST_WORD_MS, type Plan, type PoolSettings, type Taken, type TargetState } from "./plan.ts"
import type { Place } from "./queue.ts"
import { allFull, keyRefused, keyWithheld, noneLocal, type Refusal } from "./refusal.ts"
import { bodyAt, dropClientsOwn, fieldsAt, hasKey, isWhole, type Target, urlAt, withoutKeys } from "./target.ts"
import { judge, type Verdict } from "./verdict.ts"

/** An answer that comes whole comes after all of its words. */
const WHOLE_FACTOR = 5

/** An attempt that has failed, and might be what the client is told. */
interface Failed {
  readonly target: Target
  readonly answer: Answer
  readonly verdict: Verdict
}

/** One for an addon, whose `state` keeps what it knows over reloads. */
export class TargetPool {
  readonly #settings: PoolSettings
  readonly #books: Books
  /** The hooks that the addon has to have, or to call from its own: by them the pool knows how flows end. */
  readonly hooks: {
    responseHeaders(flow: Flow): void
    response(flow: Flow): void
    error(flow: Flow, error: FlowError): void
  }

  constructor(context: Pick<AddonContext, "state" | "clock" | "log">, settings: PoolSettings = {}) {
    this.#settings = settings
    this.#books = new Books(context, settings)
    this.hooks = {
      responseHeaders: (flow) => this.#books.arrived(flow),
      response: (flow) => this.#books.ended(flow, undefined),
      error: (flow, error) => this.#books.ended(flow, error),
    }
  }

  /**
   * Routes or answers the flow; to be called, and awaited, in `requestHeaders`, `request` or `llmRequest`. A flow whose body has
   * not been collected can be sent once: it goes to the first target that has room. No promise is made where
   * there is nothing to wait for. Rejects when the client leaves, or the flow is killed.
   */
  take(flow: Flow, plan: Plan): Taken | Promise<Taken> {
    this.#books.ended(flow, undefined) // What it was sent to before, if anything.
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
    const ordered = inOrder(allowed, order, (target) => this.#books.standingOf(target), random)
    const [first, second] = ordered
    if (first === undefined) return this.#refuse(flow, plan, keyWithheld(local))
    if (second !== undefined && isWhole(flow)) return this.#walk(flow, plan, ordered)
    return this.#routeToFirst(flow, plan, ordered)
  }

  /** How a target stands now. */
  stateOf(target: Target): TargetState {
    return this.#books.stateOf(target)
  }

  /** The flow itself goes to the first that has room in its line. */
  #routeToFirst(flow: Flow, plan: Plan, ordered: readonly Target[]): Taken | Promise<Taken> {
    for (const target of ordered) {
      if (this.#books.isFull(flow, target)) continue
      const place = this.#books.join(target)
      if (place === undefined || place.isGranted) return this.#route(flow, plan, target, place, 0)
      return this.#books
        .wait(flow, target, place, plan.keepAlive)
        .then((waitedMs) => this.#route(flow, plan, target, place, waitedMs))
    }
    return this.#refuse(flow, plan, allFull(ordered))
  }

  #route(flow: Flow, plan: Plan, target: Target, place: Place | undefined, waitedMs: number): Taken {
    const running = this.#books.begin(flow, target, place, waitedMs)
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
      if (this.#isTooSmall(flow, target, tooSmall) || this.#books.isFull(flow, target)) continue
      const place = this.#books.join(target)
      const waitedMs = place === undefined || place.isGranted ? 0 : await this.#books.wait(flow, target, place)
      const running = this.#books.begin(flow, target, place, waitedMs)
      const answer = await this.#ask(flow, plan, target)
      const { failure } = answer
      const verdict = failure === undefined ? undefined : judgeAmong(failure, target, ordered)
      this.#books.book(flow, running, {
        status: answer.status,
        why: failure?.message,
        headers: answer.headers,
        verdict,
      })
      if (verdict?.failsOver !== true) {
        worst?.answer.abort()
        return this.#hand(flow, plan, target, answer)
      }
      this.#books.ended(flow, undefined)
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
      this.#books.ended(flow, flow.error)
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
    this.#books.skip(flow, target, `it takes no more than ${tooSmall} tokens, as far as is known`)
    return true
  }
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
