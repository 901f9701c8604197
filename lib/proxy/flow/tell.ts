/**
 * What an answer meant is told: `llmResponse` or `llmError`, once to each addon. Those that hold it back are told first,
 * and may put another one in its place; all others are told of the one that the client gets.
 */
import type { LoadedAddon } from "../../loader/chain.ts"
import type { AnswerObserver } from "../body/answer-observer.ts"
import type { Completion } from "../body/observe.ts"
import type { FlowState } from "./state.ts"

/** Tells those that have not been told. `cut`: the answer broke off. */
export async function tellOthers(flow: FlowState, observer: AnswerObserver, cut: boolean): Promise<void> {
  understand(flow, observer, cut)
  const { exchange } = flow
  if (exchange.told) return
  exchange.told = true
  const { llm } = flow
  // Those that hold an answer may have spent more since they were told of it.
  if (llm?.completion !== undefined) llm.completion = exchange.counted(llm.completion)
  const { holders } = exchange
  await tell(flow, holders === undefined ? undefined : (addon) => !holders.has(addon))
}

/** Tells those that hold the answer back. They may put another one in its place; else the others are told of it, too. */
export async function tellHolders(flow: FlowState, observer: AnswerObserver): Promise<void> {
  understand(flow, observer, false)
  const asked = flow.response?.holders
  const holders = new Set(flow.chain.addons.filter((addon) => addon.hold || asked?.has(addon) === true))
  flow.exchange.holders = holders
  await tell(flow, (addon) => holders.has(addon))
}

/** Something else takes the held answer's place: what it means is found out as it is sent. Returns what the held one meant. */
export function putAside({ llm }: FlowState): Completion | undefined {
  const completion = llm?.completion
  if (llm === undefined) return undefined
  llm.completion = undefined
  llm.error = undefined
  return completion
}

/** A client that got an error in the place of an answer: the record still says what the model had said, and its cost. */
export function putBack(flow: FlowState, completion: Completion | undefined): void {
  const { llm } = flow
  if (llm !== undefined && completion !== undefined) llm.completion ??= flow.exchange.counted(completion)
}

function understand(flow: FlowState, observer: AnswerObserver, cut: boolean): void {
  const { llm } = flow
  if (llm === undefined || llm.completion !== undefined || llm.error !== undefined) return
  const { completion, error, unparsed } = observer.finish(cut)
  flow.unparsed ??= unparsed
  llm.error = error
  if (error !== undefined || completion === undefined) return
  // The host's count, or ours, stands in for what the client's bytes do not say: clients that stream seldom ask for usage.
  const { answerUsage } = flow.exchange
  const isSilent = completion.usage.source === "none"
  flow.exchange.ownUsage = isSilent && answerUsage !== undefined ? { ...answerUsage } : completion.usage
  llm.completion = flow.exchange.counted(completion)
}

/** `isMeant`: those of whom that is true; undefined: all. */
function tell(flow: FlowState, isMeant: ((addon: LoadedAddon) => boolean) | undefined): void | Promise<void> {
  const { llm, chain } = flow
  if (llm === undefined) return undefined
  const llmFlow = flow as FlowState & { llm: typeof llm }
  if (llm.error !== undefined) return chain.runFor(isMeant, "llmError", flow, llmFlow, llm.error)
  return llm.completion && chain.runFor(isMeant, "llmResponse", flow, llmFlow, llm.completion)
}
