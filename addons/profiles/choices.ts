/**
 * Which profile was chosen by `POST /models/model`: for all, or for one key. Kept in records, so that it is the same after a restart and
 * in every llmproxy on the database; what was looked up is believed for a second.
 */
import { type Clock, isObject, type JsonValue, type Records } from "llmproxy"

/** Milliseconds that what was looked up is believed. */
export const BELIEVED_MS = 1_000
/** Keys that are remembered. */
const REMEMBERED_MAX = 10_000

/** For everybody. */
export const FOR_ALL = "default"

export interface Chosen {
  readonly profile: string
  /** In the place of the profile's own; undefined: that. */
  readonly model: string | undefined
}

interface Entry {
  readonly chosen: Chosen | undefined
  readonly at: number
}

export class Choices {
  readonly #records: Records
  readonly #clock: Clock
  readonly #known = new Map<string, Entry>()

  constructor(records: Records, clock: Clock) {
    this.#records = records
    this.#clock = clock
  }

  /** A promise only where the database is asked; that rejects where it cannot be. */
  of(whom: string): Chosen | undefined | Promise<Chosen | undefined> {
    const known = this.#known.get(whom)
    if (known !== undefined && this.#clock.monotonic() - known.at < BELIEVED_MS) return known.chosen
    return this.#look(whom)
  }

  async set(whom: string, { profile, model }: Chosen): Promise<void> {
    await this.#records.set(whom, model === undefined ? { profile } : { profile, model })
    this.#remember(whom, { profile, model })
  }

  async #look(whom: string): Promise<Chosen | undefined> {
    const chosen = chosenIn(await this.#records.get(whom))
    this.#remember(whom, chosen)
    return chosen
  }

  #remember(whom: string, chosen: Chosen | undefined): void {
    if (this.#known.size >= REMEMBERED_MAX) this.#known.clear()
    this.#known.set(whom, { chosen, at: this.#clock.monotonic() })
  }
}

function chosenIn(value: JsonValue | undefined): Chosen | undefined {
  if (!isObject(value)) return undefined
  const { profile, model } = value
  return typeof profile === "string" ? { profile, model: typeof model === "string" ? model : undefined } : undefined
}
