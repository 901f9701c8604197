/**
 * Asks again where a local model's answer is of no use: an empty plan, broken JSON, a question that was asked before, a
 * text that goes round in circles. What is judged is held back, so that rejected text never reaches the client; what is
 * accepted leaves as its own bytes. Each attempt is a child flow.
 *
 * This file is the way of an answer, top to bottom. What guards look for is in requery/guards.ts, how is asked again in
 * requery/ask-again.ts. It stands behind the addon that sends requests to local hosts.
 */
import { type AddonContext, type Completion, defineAddon, type Flow, type LlmFlow, type Usage } from "llmproxy"
import { type Again, type Asked, askCloud, askedOf, askLocal, cloudFields } from "./requery/ask-again.ts"
import { type Demand, demandOf } from "./requery/demand.ts"
import { type ChosenGuard, chosenGuards, Said } from "./requery/guards.ts"
import { Schemas } from "./requery/json-answer.ts"
import { OPTIONS } from "./requery/options.ts"
import { type Watch, watch } from "./requery/watch.ts"

const WAITING = "asking the local host again"

export default defineAddon({
  name: "requery",
  options: OPTIONS,
  setup(context) {
    const requery = new Requery(context)
    return {
      configure: () => requery.configure(),
      llmRequest: (flow) => requery.remember(flow),
      responseHeaders: (flow) => requery.prepare(flow),
      llmResponse: (flow, completion) => requery.judge(flow, completion),
    }
  },
})

/** What is wrong with an answer. */
interface Finding extends ChosenGuard {
  readonly why: string
}

/** How a flow's answer is looked at. */
interface Plan {
  readonly demand: Demand
  readonly guards: readonly ChosenGuard[]
  /** Whether the answer is held back: only then can another one take its place. */
  readonly holds: boolean
  readonly watch: Watch | undefined
}

class Requery {
  readonly #context: AddonContext<typeof OPTIONS>
  readonly #schemas = new Schemas()
  #guards: readonly ChosenGuard[] = []
  /** What the local host was asked last, by the flow that it was asked for. */
  readonly #asked = new WeakMap<Flow, Asked>()
  readonly #plans = new WeakMap<Flow, Plan>()

  constructor(context: AddonContext<typeof OPTIONS>) {
    this.#context = context
  }

  configure(): void {
    this.#guards = chosenGuards(this.#context.options)
  }

  /** The child flows of the addon that asks local hosts pass here: where they go, and what with. */
  remember(flow: LlmFlow): void {
    if (flow.parent !== undefined) this.#asked.set(flow.parent, askedOf(flow))
  }

  /** The answer's head is there: it is held back, watched, or left alone. */
  prepare(flow: Flow): void {
    const { response, llm } = flow
    if (llm === undefined || response === undefined || response.status >= 400) return
    if (flow.parent !== undefined || flow.routed?.name !== "local") return
    const demand = demandOf(llm.request)
    if (demand === undefined) return
    const guards = this.#guards.filter(({ guard }) => guard.armed(demand))
    if (guards.length === 0) return
    const holds = guards.some(({ mode }) => mode === "hold")
    const watched = watchFor(guards, holds)
    this.#plans.set(flow, { demand, guards, holds, watch: watched })
    if (holds) response.hold()
    if (watched !== undefined && llm.request.stream) response.transformDeltas(watched.transform)
  }

  async judge(flow: LlmFlow, completion: Completion): Promise<void> {
    const plan = this.#plans.get(flow)
    if (plan === undefined || !isText(completion)) return
    const said = new Said(completion, plan.demand, this.#schemas, plan.watch)
    const finding = this.#findingIn(flow, plan, said)
    if (!plan.holds) return
    if (finding !== undefined) await this.#askAgain(flow, plan, finding)
    else this.#mend(flow, plan, said)
  }

  /** What the first guard that acts has found; what others have found is only said. */
  #findingIn(flow: LlmFlow, plan: Plan, said: Said): Finding | undefined {
    for (const chosen of plan.guards) {
      const why = chosen.guard.test(said)
      if (why === undefined) continue
      note(flow, chosen, why)
      this.#context.log.info(`${chosen.guard.name} (${chosen.mode}): ${why}`)
      if (chosen.mode !== "observe") return { ...chosen, why }
    }
    return undefined
  }

  async #askAgain(flow: LlmFlow, plan: Plan, first: Finding): Promise<void> {
    const { options, clock } = this.#context
    const end = clock.monotonic() + options.deadlineMs
    const rejections = new Map<string, number>()
    let finding = first
    for (let attempt = 1; attempt <= options.attempts; attempt++) {
      const before = rejections.get(finding.guard.name) ?? 0
      const left = end - clock.monotonic()
      if (before >= finding.attempts || left <= 0) break
      rejections.set(finding.guard.name, before + 1)
      const isLast = attempt === options.attempts || before + 1 === finding.attempts
      const toCloud = isLast && options.escalate && cloudFields(flow, options.cloudKey) !== undefined
      const again = await this.#send(flow, finding, attempt, toCloud, left)
      const next = await this.#accept(flow, plan, again, { finding, attempt, toCloud })
      if (next === undefined) return
      finding = next
    }
    this.#refuse(flow, finding)
  }

  #send(flow: LlmFlow, { guard }: Finding, attempt: number, toCloud: boolean, timeoutMs: number): Promise<Again> {
    const cloud = toCloud ? cloudFields(flow, this.#context.options.cloudKey) : undefined
    if (cloud !== undefined) return askCloud(flow, cloud, guard.nudge, timeoutMs)
    flow.keepAlive(WAITING)
    const asked = this.#asked.get(flow) ?? askedOf(flow)
    return askLocal(flow, asked, { nudge: guard.nudge, warmer: guard.warmer * attempt }, timeoutMs)
  }

  /** Hands on an answer that passes; of another, what is wrong with it. */
  async #accept(
    flow: LlmFlow,
    plan: Plan,
    { answer, looped }: Again,
    { finding, attempt, toCloud }: { finding: Finding; attempt: number; toCloud: boolean },
  ): Promise<Finding | undefined> {
    if (answer.failure !== undefined) {
      answer.abort()
      const why = looped ? "the answer goes round in circles" : answer.failure.message
      note(flow, finding, why)
      return { ...finding, why }
    }
    const completion = await answer.completion()
    const said = new Said(completion, plan.demand, this.#schemas)
    const next = isText(completion) ? this.#findingIn(flow, plan, said) : undefined
    if (next !== undefined) {
      answer.abort()
      return next
    }
    const times = attempt === 1 ? "once" : `${attempt} times`
    flow.route({ name: toCloud ? "cloud" : "local", reason: `asked again ${times}: ${finding.why}` })
    flow.metadata["requery.accepted"] = { attempt, from: toCloud ? "cloud" : "local" }
    const inputTokens = flow.llm.completion?.usage.inputTokens
    const usage = (whole: Completion) => this.#usageOf(whole, inputTokens)
    if (!isText(completion) || !this.#mend(flow, plan, said)) flow.respond(answer, { usage })
    return undefined
  }

  /** Gives the client the JSON alone, where prose, a fence or a small fault stood around it. */
  #mend(flow: LlmFlow, { guards }: Plan, said: Said): boolean {
    const acts = guards.some(({ guard, mode }) => guard.name === "json" && mode !== "observe")
    const text = acts && typeof said.json !== "string" ? said.json.mended : undefined
    const [choice] = said.completion.choices
    if (text === undefined || choice === undefined) return false
    flow.metadata["requery.mended"] = true
    // Its getters become values here, and follow the one choice.
    flow.respond({ completion: { ...said.completion, text, choices: [{ ...choice, text }] } })
    return true
  }

  /** Every attempt was of no use, and none of it is for the client. */
  #refuse(flow: LlmFlow, { guard, why }: Finding): void {
    const message =
      `llmproxy: the local host's answer was rejected (${guard.name}: ${why}), and asking again did not help. ` +
      "Use a larger model, or take this guard out of requery.guards."
    this.#context.log.warn(message)
    flow.respond({
      status: 502,
      headers: { "x-should-retry": "false" },
      error: { code: "answer_rejected", message, type: "api_error" },
    })
  }

  /** For an answer that came without usage. */
  async #usageOf({ text, reasoning }: Completion, inputTokens: number | undefined): Promise<Usage> {
    const outputTokens = await this.#context.tokens.countText(reasoning + text)
    const totalTokens = inputTokens === undefined ? undefined : inputTokens + outputTokens
    const unknown = { cachedTokens: undefined, reasoningTokens: undefined }
    return { inputTokens, outputTokens, totalTokens, ...unknown, source: "counted" }
  }
}

/** A loop can be stopped in any stream, an empty list only where the answer is held back. */
function watchFor(guards: readonly ChosenGuard[], holds: boolean): Watch | undefined {
  const acting = guards.filter(({ mode }) => mode !== "observe").map(({ guard }) => guard.name)
  const empties = holds ? acting.filter((name) => name.startsWith("empty-")) : []
  if (!acting.includes("runaway") && empties.length === 0) return undefined
  return watch(
    empties.map((name) => name.slice("empty-".length)),
    acting.includes("runaway"),
  )
}

/** Guards judge texts: one choice, no tool calls, no refusal, not broken off. */
function isText({ choices, toolCalls, refusal, finishReason, truncated }: Completion): boolean {
  return (
    choices.length <= 1 &&
    toolCalls.length === 0 &&
    refusal === "" &&
    finishReason.unified !== "cut" &&
    truncated !== true
  )
}

/** For the record: `requery.findings` of the flow. */
function note(flow: Flow, { guard, mode }: ChosenGuard, why: string): void {
  const before = flow.metadata["requery.findings"]
  flow.metadata["requery.findings"] = [...(Array.isArray(before) ? before : []), { guard: guard.name, mode, why }]
}
