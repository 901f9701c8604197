/**
 * Counts texts, each once: what is remembered or on its way is not sent to the thread again, so that a conversation that
 * comes again costs its new messages only. A text that cannot be counted now is estimated from its bytes, never an error:
 * routing must go on. What a text is counted with is the backend's.
 */
import { hash } from "node:crypto"
import { LRUCache } from "lru-cache"
import type { Counted } from "./encode.ts"
import { estimateText } from "./plan.ts"
import { sampleText } from "./runs.ts"
import type { CountingBackend, CountingTable } from "./worker-client.ts"

export interface TextCountsOptions {
  readonly backend: CountingBackend
  /** Texts that are remembered. Default MEMO_MAX. */
  readonly memoMax?: number | undefined
  /** Hears why a count had to be estimated. */
  readonly onFailure?: ((error: unknown) => void) | undefined
}

const MEMO_MAX = 20_000
const MEMO_BYTES_MAX = 8_388_608

// Shorter texts are their own key; longer ones are known by a hash, so that the memo never holds a conversation.
const KEY_CHARS_MAX = 48
const MEMO_ENTRY_BYTES = 100

// Texts that are together longer (some 250,000 tokens) are sampled, each in proportion: hashing and posting more would
// hold the event loop, counting more the other requests.
const COUNTED_CHARS_MAX = 1_048_576
const SAMPLE_CHARS_MIN = 256

/** A text on its way: what is counted in its place, and by what that count is multiplied. */
interface Lookup {
  readonly text: string
  readonly sample: string
  readonly key: string
}

/** A text that another count is waiting for: its place in that batch. */
interface Pending {
  readonly batch: Promise<readonly Counted[]>
  readonly at: number
}

/** What texts count together. */
export interface Sum {
  readonly tokens: number
  readonly exact: boolean
  /** Whether a text had to be estimated, because it could not be counted. */
  readonly failed: boolean
}

export class TextCounts {
  readonly #memo: LRUCache<string, Counted>
  readonly #pending = new Map<string, Pending>()
  readonly #backend: CountingBackend
  readonly #onFailure: (error: unknown) => void
  #isClosed = false

  constructor({ backend, memoMax, onFailure }: TextCountsOptions) {
    this.#memo = new LRUCache({
      max: memoMax ?? MEMO_MAX,
      maxSize: MEMO_BYTES_MAX,
      sizeCalculation: (_, key) => key.length * 2 + MEMO_ENTRY_BYTES,
    })
    this.#backend = backend
    this.#onFailure = onFailure ?? (() => undefined)
  }

  /** Ends the thread. Counts that wait, and later ones of texts that are not remembered, are estimates. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#backend.close()
  }

  /** Never rejects. */
  async sum(table: CountingTable, texts: readonly string[]): Promise<Sum> {
    const lookups = lookUps(table, texts)
    this.#send(table, lookups)
    // Taken before the first wait: a small memo may have dropped an entry after it.
    const found = lookups.map(({ key }) => this.#memo.get(key) ?? this.#pending.get(key))
    let tokens = 0
    let exact = true
    let failed = false
    for (const [at, lookup] of lookups.entries()) {
      const counted = await settled(found[at])
      failed ||= counted === undefined
      exact &&= counted?.exact === true && lookup.sample === lookup.text
      tokens += counted === undefined ? estimateText(lookup.text) : scaled(counted.tokens, lookup)
    }
    return { tokens, exact, failed }
  }

  /** Sends what is neither remembered nor on its way, in one message. */
  #send(table: CountingTable, lookups: readonly Lookup[]): void {
    const fresh = new Map<string, string>()
    for (const { key, sample } of lookups) {
      if (!this.#memo.has(key) && !this.#pending.has(key)) fresh.set(key, sample)
    }
    if (fresh.size === 0) return
    const keys = [...fresh.keys()]
    const batch = this.#backend.count(table, [...fresh.values()])
    keys.forEach((key, at) => {
      this.#pending.set(key, { batch, at })
    })
    batch.then(
      (counts) => {
        keys.forEach((key, at) => {
          const counted = counts[at]
          if (counted !== undefined) this.#memo.set(key, counted)
          this.#pending.delete(key)
        })
      },
      (error: unknown) => {
        for (const key of keys) this.#pending.delete(key)
        // A short program ends while its tables still load: nobody needs to hear of that.
        if (!this.#isClosed) this.#onFailure(error)
      },
    )
  }
}

/** What was counted; undefined when it could not be. */
async function settled(found: Counted | Pending | undefined): Promise<Counted | undefined> {
  if (found === undefined || "tokens" in found) return found
  return found.batch.then(
    (counts) => counts[found.at],
    () => undefined,
  )
}

function lookUps(table: CountingTable, texts: readonly string[]): Lookup[] {
  const chars = texts.reduce((sum, text) => sum + text.length, 0)
  // Halved, not divided: the next message of a huge conversation must not give every text another sample.
  let share = 1
  while (chars * share > COUNTED_CHARS_MAX) share /= 2
  return texts.map((text) => {
    const sample = sampleText(text, Math.max(SAMPLE_CHARS_MIN, Math.ceil(text.length * share)))
    return { text, sample, key: keyOf(table, sample) }
  })
}

function keyOf(table: CountingTable, text: string): string {
  return text.length <= KEY_CHARS_MAX ? `${table} ${text}` : `${table}#${hash("sha256", text, "base64")}`
}

/** A sample's count for the whole text; never more than its bytes, so that boundRequest stays a bound. */
function scaled(tokens: number, { text, sample }: Lookup): number {
  if (sample === text) return tokens
  return Math.min(Math.ceil((tokens * text.length) / sample.length), Buffer.byteLength(text))
}
