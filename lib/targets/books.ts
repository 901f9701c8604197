/**
 * What is known of targets, and what is under way at them: who stands in which line, who tries what had failed, what came of it.
 * pool.ts decides where flows go; by the hooks here it is heard how they end.
 */
import type { AddonContext } from "../api/addon.ts"
import type { Answer, Flow } from "../api/flow.ts"
import type { FlowError } from "../base/errors.ts"
import { type Attempt, CONTEXT, note, shortReason } from "./attempts.ts"
import { Health, type Standing } from "./health.ts"
import { COOLDOWN_MS, type PoolSettings, type TargetState, WAITING_MAX } from "./plan.ts"
import { join, type Lines, lengthOf, linesIn, type Place } from "./queue.ts"
import { keyRefused } from "./refusal.ts"
import type { Target } from "./target.ts"
import { judge, judgeStatus, retryAfterMs, type Verdict } from "./verdict.ts"

/** What is under way for a flow. */
export interface Running {
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

/** What has become known of an attempt. */
interface Outcome {
  /** Of its head; 0: none came. */
  readonly status: number
  readonly why: string | undefined
  readonly headers: Answer["headers"] | undefined
  /** Undefined: all is well. */
  readonly verdict: Verdict | undefined
}

export class Books {
  readonly #context: Pick<AddonContext, "clock" | "log">
  readonly #settings: Pick<PoolSettings, "attempted" | "cooldownMs" | "waits">
  readonly #health: Health
  readonly #lines: Lines
  readonly #running = new WeakMap<Flow, Running>()

  constructor(
    context: Pick<AddonContext, "state" | "clock" | "log">,
    settings: Pick<PoolSettings, "attempted" | "cooldownMs" | "waits">,
  ) {
    this.#context = context
    this.#settings = settings
    this.#health = new Health(context.state, context.clock)
    this.#lines = linesIn(context.state)
  }

  /** How a target stands now. */
  stateOf(target: Target): TargetState {
    const standing: Standing | undefined = this.#health.standingOf(keyOf(target))
    const { serving, waiting } = lengthOf(this.#lines, keyOf(target))
    const health = standing === undefined ? "well" : standing.ms > 0 ? "resting" : "tried"
    return { health, why: standing?.why, restMs: standing?.ms ?? 0, serving, waiting }
  }

  /** Why a target is to be left alone, if it is. */
  standingOf(target: Target): Standing | undefined {
    return this.#health.standingOf(keyOf(target))
  }

  /** It is not asked. */
  skip(flow: Flow, target: Target, reason: string): void {
    const attempt = note(flow, { target: target.name, result: "skipped", reason, waitedMs: 0 })
    this.#settings.attempted?.(attempt, target, flow)
  }

  /** Whether nobody may stand in its line any more; then it is noted as skipped. */
  isFull(flow: Flow, target: Target): boolean {
    const { concurrency, waiting: most = WAITING_MAX } = target
    if (concurrency === undefined) return false
    const { serving, waiting } = lengthOf(this.#lines, keyOf(target))
    if (serving < concurrency || waiting < most) return false
    this.skip(flow, target, `${serving} run there and ${waiting} wait`)
    return true
  }

  /** Undefined: it has no line. */
  join({ concurrency, ...target }: Target): Place | undefined {
    return concurrency === undefined ? undefined : join(this.#lines, keyOf(target), () => Math.max(1, concurrency))
  }

  /** Milliseconds that it took until it was the flow's turn. */
  async wait(flow: Flow, target: Target, place: Place, note?: string): Promise<number> {
    const { clock } = this.#context
    const since = clock.monotonic()
    const over = this.#settings.waits?.(target)
    const letBe = note === undefined ? () => {} : flow.keepAlive(note)
    try {
      await flow.waitFor(place.granted)
    } catch (thrown) {
      place.leave()
      throw thrown
    } finally {
      over?.()
    }
    letBe()
    return clock.monotonic() - since
  }

  /** The flow goes there, or an attempt for it. */
  begin(flow: Flow, target: Target, place: Place | undefined, waitedMs: number): Running {
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
  book(flow: Flow, running: Running, { status, why, headers, verdict }: Outcome): void {
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
  arrived(flow: Flow): void {
    const running = this.#running.get(flow)
    const { response } = flow
    if (running === undefined || running.isKnown || response === undefined) return
    // Another addon has answered, or sent it elsewhere: nothing is known of the target, and nothing waits for it.
    if (flow.server === undefined || flow.routed?.url !== running.url) {
      this.ended(flow, undefined)
      return
    }
    const { status, headers } = response
    const verdict = status < 400 ? undefined : judgeStatus(status, running.target)
    this.book(flow, running, { status, why: undefined, headers, verdict })
    if (verdict?.isKeyRefused === true) {
      const { error, ...refusal } = keyRefused(running.target, status)
      flow.respond({ ...refusal, error })
    }
  }

  /** The flow has ended, or is another's affair from now on. */
  ended(flow: Flow, error: FlowError | undefined): void {
    const running = this.#running.get(flow)
    if (running === undefined) return
    this.#running.delete(flow)
    running.place?.leave()
    if (running.isKnown) return
    if (error?.source === "upstream" && flow.routed?.url === running.url) {
      const verdict = judge({ kind: "connect", message: error.message, status: 0, error: undefined }, running.target)
      this.book(flow, running, { status: 0, why: error.message, headers: undefined, verdict })
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
