/**
 * How many of a local model's tokens one of OpenAI's is, learnt from what the host says of the prompts it got. The
 * decision takes a high value of the last ones (the 95th percentile), because a prompt that is cut costs more than one
 * that goes to the cloud for nothing. Kept in the addon's state, and on disk where there is a place.
 */
import type { JsonValue, Records } from "llmproxy"

/** Shorter prompts say more of the template around them than of the text. */
const TOKENS_MIN = 256
const SAMPLES_MAX = 64
/** Fewer can only make the ratio larger than what the option says. */
const SAMPLES_ENOUGH = 5
const PERCENTILE = 0.95
/** A count beyond these is no count of the same text: a cache was left out, or the prompt was cut. */
const RATIO_MIN = 0.5
const RATIO_MAX = 4
const MODELS_MAX = 200
const STATE_KEY = "ratios"
/** That the disk was read: once a start, whatever is reloaded since. */
const READING_KEY = "ratios.reading"

export interface Ratio {
  readonly value: number
  /** Answers that it was learnt from; 0: it is the option's. */
  readonly samples: number
}

export class Ratios {
  readonly #known: Map<string, number[]>
  readonly #records: Records
  readonly #onFailure: (error: unknown) => void
  readonly #state: Map<string, unknown>

  constructor(state: Map<string, unknown>, records: Records, onFailure: (error: unknown) => void) {
    const known = state.get(STATE_KEY)
    this.#known = known instanceof Map ? known : new Map()
    state.set(STATE_KEY, this.#known)
    this.#state = state
    this.#records = records
    this.#onFailure = onFailure
  }

  /** `otherwise`: what holds before anything was learnt. */
  of(model: string | undefined, otherwise: number): Ratio {
    const samples = this.#known.get(model ?? "") ?? []
    const sorted = samples.toSorted((a, b) => a - b)
    const high = sorted[Math.ceil(sorted.length * PERCENTILE) - 1]
    if (high === undefined) return { value: otherwise, samples: 0 }
    return { value: samples.length < SAMPLES_ENOUGH ? Math.max(high, otherwise) : high, samples: samples.length }
  }

  /** `counted` by us, `actual` by the host. */
  learn(model: string | undefined, counted: number, actual: number): void {
    const ratio = actual / counted
    if (counted < TOKENS_MIN || !(ratio >= RATIO_MIN && ratio <= RATIO_MAX)) return
    const name = model ?? ""
    const samples = [...(this.#known.get(name) ?? []), Math.round(ratio * 1_000) / 1_000].slice(-SAMPLES_MAX)
    this.#known.delete(name)
    this.#known.set(name, samples)
    const [oldest] = this.#known.keys()
    if (this.#known.size > MODELS_MAX && oldest !== undefined) this.#known.delete(oldest)
    void this.#keep(name)
  }

  /** What is on disk is read first: it would be overwritten. */
  async #keep(name: string): Promise<void> {
    await this.load()
    const samples = this.#known.get(name)
    if (samples !== undefined) await this.#records.set(name, samples).catch(this.#onFailure)
  }

  /** Reads what was learnt before this start. Once; what was learnt since stands behind it. Never rejects. */
  load(): Promise<void> {
    const before = this.#state.get(READING_KEY)
    if (before instanceof Promise) return before
    const reading = this.#read().catch(this.#onFailure)
    this.#state.set(READING_KEY, reading)
    return reading
  }

  async #read(): Promise<void> {
    for (const [name, samples] of await this.#records.entries()) {
      const read = samplesIn(samples)
      if (read.length > 0) this.#known.set(name, [...read, ...(this.#known.get(name) ?? [])].slice(-SAMPLES_MAX))
    }
  }
}

function samplesIn(value: JsonValue): number[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : []
  const isRatio = (one: unknown): one is number => typeof one === "number" && one >= RATIO_MIN && one <= RATIO_MAX
  return list.filter(isRatio).slice(-SAMPLES_MAX)
}
