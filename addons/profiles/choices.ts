/**
 * Which profile was chosen by `POST /models/model`: for all, or for one key. Kept in records, so that it is the same after a restart and
 * in every llmproxy on the database; what was looked up is believed for a second, and while the database is gone for as long as
 * that lasts.
 */
import { type Clock, isObject, type JsonValue, type Records } from "llmproxy"

/** Milliseconds that what was looked up is believed. */
export const BELIEVED_MS = 1_000
/** And when it could not be looked up again. */
const BELIEVED_LOST_MS = 10_000
/** Choices that are read at once; where there are more, each is looked up by itself. */
const READ_MAX = 1_000
/** Of those, how many are remembered. */
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
  /** Monotonic milliseconds at which all of them were read; undefined: they are too many for that. */
  #readAt: number | undefined = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | undefined
  /** Monotonic milliseconds until which the database is not asked, as it did not answer. */
  #lostUntil = Number.NEGATIVE_INFINITY

  constructor(records: Records, clock: Clock) {
    this.#records = records
    this.#clock = clock
  }

  /** A promise only where the database is asked, once a second at most; that rejects where it cannot be. */
  of(whom: string): Chosen | undefined | Promise<Chosen | undefined> {
    if (this.#readAt === undefined) return this.#byItself(whom)
    if (this.#isFresh(this.#readAt)) return this.#known.get(whom)?.chosen
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading.then(() => this.of(whom))
  }

  async set(whom: string, { profile, model }: Chosen): Promise<void> {
    await this.#records.set(whom, model === undefined ? { profile } : { profile, model })
    this.#remember(whom, { profile, model })
  }

  async #read(): Promise<void> {
    const at = this.#clock.monotonic()
    const entries = await this.#asked(() => this.#records.entries(), this.#readAt !== Number.NEGATIVE_INFINITY)
    if (entries === undefined) return
    this.#known.clear()
    for (const [whom, value] of entries) this.#remember(whom, chosenIn(value))
    this.#readAt = entries.length < READ_MAX ? at : undefined
  }

  #byItself(whom: string): Chosen | undefined | Promise<Chosen | undefined> {
    const known = this.#known.get(whom)
    return known !== undefined && this.#isFresh(known.at) ? known.chosen : this.#look(whom)
  }

  async #look(whom: string): Promise<Chosen | undefined> {
    const known = this.#known.get(whom)
    const found = await this.#asked(async () => [await this.#records.get(whom)], known !== undefined)
    if (found === undefined) return known?.chosen
    const chosen = chosenIn(found[0])
    this.#remember(whom, chosen)
    return chosen
  }

  /** Undefined: the database does not answer, and what is known goes on (`isKnown`). Else it rejects. */
  async #asked<T>(ask: () => Promise<T>, isKnown: boolean): Promise<T | undefined> {
    try {
      return await ask()
    } catch (thrown) {
      if (!isKnown) throw thrown
      this.#lostUntil = this.#clock.monotonic() + BELIEVED_LOST_MS
      return undefined
    }
  }

  #isFresh(at: number): boolean {
    const now = this.#clock.monotonic()
    return now - at < BELIEVED_MS || now < this.#lostUntil
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
