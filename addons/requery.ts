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
import { costOf, costOfPart } from "./requery/cost.ts"
import { type Demand, demandOf } from "./requery/demand.ts"
import { type ChosenGuard, chosenGuards, Said } from "./requery/guards.ts"
import type { Schemas } from "./requery/json-schema.ts"
import { FINDINGS, noteAccepted, noteMended } from "./requery/notes.ts"
import { OPTIONS } from "./requery/options.ts"
import { type Watch, watch } from "./requery/watch.ts"
import { IS_EMPTY, JUDGES_EMPTY, ROUTES } from "./shared/local-answers.ts"

const WAITING = "asking the local host again"
/** In an answer's head: how often was asked again, and the guard that the last time was for. */
const FIELD = "x-llmproxy-requery"

export default defineAddon({
  name: "requery",
  options: OPTIONS,
  setup(context) {
    const requery = new Requery(context)
    return {
      configure: () => requery.configure(),
      // Not waited for: what an attempt has cost is told with the answer, and may have to be counted.
      running: () => void context.tokens.warm(),
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

/** Of an attempt; undefined where it cannot be told. */
type Cost = Promise<Usage | undefined> | undefined

/** One more time. */
interface Attempt {
  readonly finding: Finding
  /** From 1 on. */
  readonly count: number
  readonly toCloud: boolean
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
  /** Undefined until an answer is to match a schema: what reads those takes as long to load as all else of a start. */
  #schemas: Schemas | undefined
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
    const { parent } = flow
    if (parent === undefined) return
    this.#asked.set(parent, askedOf(flow))
    this.#announce(parent)
  }

  /**
   * Before a local host has answered: an empty answer is asked for again here, before the cloud is. Not said where no guard
   * will judge the answer: it would reach the client as it is.
   */
  #announce(flow: Flow): void {
    if (flow.parent !== undefined || !this.#guardsFor(flow)?.guards.some(actsOnEmpty)) return
    const { escalate, cloudKey } = this.#context.options
    // Whose key this addon does not have, the other one can ask the cloud itself.
    const mayAskCloud = !escalate || cloudFields(flow, cloudKey) !== undefined
    JUDGES_EMPTY.write(flow, mayAskCloud ? "always" : "where it may not leave")
  }

  /** What the request demands and who looks at answers to it; undefined: nobody does. */
  #guardsFor({ llm }: Flow): Pick<Plan, "demand" | "guards"> | undefined {
    const demand = llm === undefined ? undefined : demandOf(llm.request, this.#context.options.repeats)
    if (demand === undefined) return undefined
    const guards = this.#guards.filter(({ guard }) => guard.armed(demand))
    return guards.length === 0 ? undefined : { demand, guards }
  }

  /** The answer's head is there: it is held back, watched, or left alone. */
  prepare(flow: Flow): void {
    const { response, llm } = flow
    if (llm === undefined || response === undefined || response.status >= 400) return
    if (flow.parent !== undefined || flow.routed?.name !== ROUTES.local) return
    const judges = this.#guardsFor(flow)
    if (judges === undefined) return
    const { demand, guards } = judges
    // Who waits for JSON gets no byte before the end: until then nothing irreversible has been sent.
    const isEmpty = IS_EMPTY.of(flow) === true && guards.some(actsOnEmpty)
    const holds = isEmpty || guards.some(({ mode }) => mode === "hold" || (mode === "guard" && !llm.request.stream))
    const watched = watchFor(guards, holds)
    this.#plans.set(flow, { demand, guards, holds, watch: watched })
    if (holds) response.hold()
    if (watched !== undefined && llm.request.stream) response.transformDeltas(watched.transform)
  }

  async judge(flow: LlmFlow, completion: Completion): Promise<void> {
    const plan = this.#plans.get(flow)
    if (plan === undefined || !isText(completion, plan.demand)) return
    const said = await this.#said(completion, plan.demand, plan.watch)
    const finding = this.#findingIn(flow, plan, said)
    if (!plan.holds) return
    if (finding !== undefined) await this.#askAgain(flow, plan, finding)
    else this.#mend(flow, plan, said, completion)
  }

  async #said(completion: Completion, demand: Demand, watch?: Watch): Promise<Said> {
    if (demand.schema !== undefined && this.#schemas === undefined) {
      const { Schemas } = await import("./requery/json-schema.ts")
      this.#schemas ??= new Schemas()
    }
    return new Said(completion, demand, this.#schemas, watch)
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
    const { completion } = flow.llm
    // Counted alongside: nobody is asked later for it.
    const costs = [completion === undefined ? undefined : costOf(flow, completion, this.#context.tokens)]
    const rejections = new Map<string, number>()
    let finding = first
    let count = 0
    while (count < options.attempts) {
      const before = rejections.get(finding.guard.name) ?? 0
      const left = end - clock.monotonic()
      if (before >= finding.attempts || left <= 0) break
      rejections.set(finding.guard.name, before + 1)
      count += 1
      const isLast = count === options.attempts || before + 1 === finding.attempts
      const toCloud = isLast && options.escalate && cloudFields(flow, options.cloudKey) !== undefined
      const attempt = { finding, count, toCloud }
      const again = await this.#send(flow, attempt, left)
      const next = await this.#accept(flow, plan, again, attempt, costs)
      if (next === undefined) return
      finding = next
    }
    // The record keeps the first answer, and what that one's host said of its cost.
    if (completion?.usage.source !== "none") costs.shift()
    await this.#addUp(flow, costs)
    this.#refuse(flow, finding, count)
  }

  async #addUp(flow: LlmFlow, costs: readonly Cost[]): Promise<void> {
    for (const cost of await flow.waitFor(Promise.all(costs))) if (cost !== undefined) flow.addUsage(cost)
  }

  #send(flow: LlmFlow, { finding, count, toCloud }: Attempt, timeoutMs: number): Promise<Again> {
    const { cloudKey, cloudModel: model } = this.#context.options
    const { guard } = finding
    const headers = toCloud ? cloudFields(flow, cloudKey) : undefined
    if (headers !== undefined) return askCloud(flow, { headers, model }, guard.nudge, timeoutMs)
    flow.keepAlive(WAITING)
    const asked = this.#asked.get(flow) ?? askedOf(flow)
    return askLocal(flow, asked, { nudge: guard.nudge, warmer: guard.warmer * count }, timeoutMs)
  }

  /** Hands on an answer that passes; of another, what is wrong with it. */
  async #accept(
    flow: LlmFlow,
    plan: Plan,
    { answer, looped, said: part }: Again,
    attempt: Attempt,
    costs: Cost[],
  ): Promise<Finding | undefined> {
    const { finding, count, toCloud } = attempt
    const { tokens } = this.#context
    if (answer.failure !== undefined) {
      answer.abort()
      // A host that refused has done no work.
      const hasWorked = answer.status >= 200 && answer.status < 400
      if (hasWorked) costs.push(costOfPart(flow, part, tokens))
      const why = looped ? "the answer goes round in circles" : answer.failure.message
      note(flow, finding, why)
      if (answer.failure.kind !== "addon") return { ...finding, why }
      this.#refuse(flow, { ...finding, why }, count) // Asked again, it would be stopped again.
      return undefined
    }
    const completion = await answer.completion()
    const said = await this.#said(completion, plan.demand)
    const next = isText(completion, plan.demand) ? this.#findingIn(flow, plan, said) : undefined
    const cost = costOf(flow, completion, tokens)
    if (next !== undefined) {
      answer.abort()
      costs.push(cost)
      return next
    }
    await this.#addUp(flow, costs)
    const times = count === 1 ? "once" : `${count} times`
    flow.route({ name: toCloud ? ROUTES.cloud : ROUTES.local, reason: `asked again ${times}: ${finding.why}` })
    noteAccepted(flow, count, toCloud ? ROUTES.cloud : ROUTES.local)
    const usage = (await flow.waitFor(cost)) ?? completion.usage
    if (!isText(completion, plan.demand) || !this.#mend(flow, plan, said, { ...completion, usage }, attempt))
      flow.respond(answer, { usage, headers: fieldsOf(attempt) })
    return undefined
  }

  /** Gives the client the JSON alone, where prose, a fence or a small fault stood around it. */
  #mend(flow: LlmFlow, { guards }: Plan, said: Said, completion: Completion, attempt?: Attempt): boolean {
    const acts = guards.some(({ guard, mode }) => guard.name === "json" && mode !== "observe")
    const text = acts && typeof said.json !== "string" ? said.json.mended : undefined
    const [choice] = completion.choices
    if (text === undefined || choice === undefined) return false
    noteMended(flow)
    // Its getters become values here, and follow the one choice.
    const mended = { ...completion, text, choices: [{ ...choice, text }] }
    flow.respond({ completion: mended, ...(attempt === undefined ? {} : { headers: fieldsOf(attempt) }) })
    return true
  }

  /** Every attempt was of no use, and none of it is for the client. */
  #refuse(flow: LlmFlow, finding: Finding, count: number): void {
    const { guard, why } = finding
    const message =
      `llmproxy: the local host's answer was rejected (${guard.name}: ${why}), and asking again did not help. ` +
      "Use a larger model, or take this guard out of requery.guards."
    this.#context.log.warn(message)
    flow.respond({
      status: 502,
      headers: { "x-should-retry": "false", ...fieldsOf({ finding, count }) },
      error: { code: "answer_rejected", message, type: "api_error" },
    })
  }
}

function actsOnEmpty({ guard, mode, attempts }: ChosenGuard): boolean {
  return guard.name === "empty" && mode !== "observe" && attempts > 0
}

/** A structured field (RFC 9651): an integer and its parameter. */
function fieldsOf({ finding, count }: Pick<Attempt, "finding" | "count">): Record<string, string> {
  return { [FIELD]: `${count};guard=${finding.guard.name}` }
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

/** Guards judge texts, and the call that a form asks for: one choice, no other calls, no refusal, not broken off. */
function isText({ choices, toolCalls, refusal, finishReason, truncated }: Completion, { call }: Demand): boolean {
  return (
    choices.length <= 1 &&
    (toolCalls.length === 0 || (toolCalls.length === 1 && toolCalls[0]?.name === call)) &&
    refusal === "" &&
    finishReason.unified !== "cut" &&
    truncated !== true
  )
}

/** For the record. */
function note(flow: Flow, { guard, mode }: ChosenGuard, why: string): void {
  FINDINGS.write(flow, [...(FINDINGS.of(flow) ?? []), { guard: guard.name, mode, why }])
}
