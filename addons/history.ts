/**
 * Keeps what was said: every flow that speaks with a model goes into the history file, with its route, its tokens and its
 * attempts. It only looks on: nothing waits for it. Secrets are blanked out before anything is written. `llmproxy
 * history` reads what is kept. It brings what writes Pythagora-LLM-Proxy's files, where somebody has named some.
 */
import { type AddonContext, type Counter, countUsage, defineAddon, type Flow, type FlowSnapshot } from "llmproxy"
import { OPTIONS } from "./history/options.ts"

const DAY_MS = 86_400_000
const MB = 1_000_000
/** Flows whose tokens are being counted. Further ones are kept uncounted. */
const COUNTING_MAX = 256
/** Milliseconds that a flow waits for its tokens to be counted. Then it is kept without, and they are added later. */
const COUNT_MS_MAX = 200

export default defineAddon({
  name: "history",
  options: OPTIONS,
  reads: "llm",
  addons: ["./pythagora-files.ts"],
  setup(context) {
    const { options, history } = context
    const recorder = new Recorder(context)
    const ended = (flow: Flow) => {
      if (flow.llm !== undefined || options.all) recorder.take(flow)
    }
    return {
      // The first flow is to be on disk as soon as all others.
      load: () => history.open(),
      configure() {
        const { maxAgeDays, maxSizeMb } = options
        history.retain({
          maxAgeMs: maxAgeDays === 0 ? undefined : maxAgeDays * DAY_MS,
          maxBytes: maxSizeMb === 0 ? undefined : maxSizeMb * MB,
        })
      },
      response: ended,
      error: ended,
      done: () => recorder.finish(),
    }
  },
})

class Recorder {
  readonly #context: AddonContext<typeof OPTIONS>
  readonly #counting = new Set<Promise<void>>()
  readonly #kept: Counter<"kept">

  constructor(context: AddonContext<typeof OPTIONS>) {
    this.#context = context
    this.#kept = context.metrics.counter({
      name: "llmproxy_history_flows_total",
      help: "Flows that were to be kept, and whether they were or had to be dropped.",
      labels: ["kept"],
    })
  }

  /** The flow is over. */
  take(flow: Flow): void {
    const snapshot = flow.snapshot()
    const usage = snapshot.llm?.completion?.usage
    const isKnown = usage === undefined || (usage.inputTokens !== undefined && usage.outputTokens !== undefined)
    if (isKnown || this.#counting.size >= COUNTING_MAX) {
      this.#record(snapshot)
      return
    }
    const counting = this.#keepCounted(flow, snapshot).finally(() => this.#counting.delete(counting))
    this.#counting.add(counting)
  }

  /** Resolves when all is written. */
  async finish(): Promise<void> {
    await Promise.all(this.#counting)
    await this.#context.history.flush()
  }

  async #keepCounted(flow: Flow, snapshot: FlowSnapshot): Promise<void> {
    const timer = this.#context.clock.after(COUNT_MS_MAX, () => this.#record(snapshot))
    const counted = await this.#counted(flow, snapshot)
    timer.cancel()
    this.#record(counted) // Of a flow that is there already, its counts.
  }

  async #counted(flow: Flow, snapshot: FlowSnapshot): Promise<FlowSnapshot> {
    const { llm } = snapshot
    if (llm?.completion === undefined) return snapshot
    try {
      const usage = await countUsage(flow, this.#context.tokens)
      return { ...snapshot, llm: { ...llm, completion: { ...llm.completion, usage } } }
    } catch {
      return snapshot // The counter is busy; its source then says "none".
    }
  }

  #record(snapshot: FlowSnapshot): void {
    // It never rejects; what is dropped is said there.
    void this.#context.history.record(snapshot).then((isKept) => this.#kept.add(1, { kept: String(isKept) }))
  }
}
