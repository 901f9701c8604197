/**
 * The local models' own vocabularies, as the option `tokenizer` gives them: a file for all models, or `GLOB=FILE` for
 * those whose name fits. A file that cannot be read stops the start; one that is right but cannot be counted with exactly
 * is warned of, and the learnt ratio stands in for it.
 */
import type { AddonContext, TokenVocabulary } from "llmproxy"
import { isLike } from "../shared/globs.ts"

/** Milliseconds that a start waits for files to be read; then they serve from when they are. */
const OPEN_MS = 3_000

interface Given {
  readonly pattern: string
  readonly file: string
}

/** Undefined: it cannot be counted with exactly. */
type Opened = Promise<TokenVocabulary | undefined>

type Context = Pick<AddonContext, "tokens" | "log" | "clock">

export class Vocabularies {
  readonly #context: Context
  readonly #opened = new Map<string, Opened>()
  #found: readonly { pattern: string; vocabulary: TokenVocabulary }[] = []
  /** How often files were named: what was named last counts. */
  #calls = 0

  constructor(context: Context) {
    this.#context = context
  }

  /** Whether any model is counted with its own vocabulary. */
  get isUsed(): boolean {
    return this.#found.length > 0
  }

  /**
   * Opens what is new and closes what is gone. Rejects with an Error that names the option and the file. Files that take
   * longer than a start may wait are used once they are read, or complained of then.
   */
  async use(entries: readonly string[]): Promise<void> {
    const given = entries.map(givenIn)
    if (given.length === 0 && this.#opened.size === 0) return
    const { clock, log } = this.#context
    const opening = this.#openAll(given, ++this.#calls)
    let isLate = false
    let giveUp: () => void = () => {}
    const late = new Promise<void>((resolve) => {
      giveUp = resolve
    })
    const timer = clock.after(OPEN_MS, () => {
      isLate = true
      giveUp()
    })
    opening.then(
      () => timer.cancel(),
      (thrown: unknown) => {
        timer.cancel()
        if (isLate) log.error(thrown instanceof Error ? thrown.message : String(thrown))
      },
    )
    await Promise.race([opening, late])
  }

  async #openAll(given: readonly Given[], call: number): Promise<void> {
    const found = await Promise.all(
      given.map(async ({ pattern, file }) => ({ pattern, vocabulary: await this.#open(file) })),
    )
    if (call !== this.#calls) return
    this.#found = found.flatMap(({ pattern, vocabulary }) =>
      vocabulary === undefined ? [] : [{ pattern, vocabulary }],
    )
    const files = new Set(given.map(({ file }) => file))
    for (const file of this.#opened.keys()) if (!files.has(file)) void this.#close(file)
  }

  /** The first that fits; a model that has no name fits what fits all. */
  of(model: string | undefined): TokenVocabulary | undefined {
    return this.#found.find(({ pattern }) => isLike(model ?? "", pattern))?.vocabulary
  }

  async close(): Promise<void> {
    this.#found = []
    this.#calls++
    await Promise.all([...this.#opened.keys()].map((file) => this.#close(file)))
  }

  #open(file: string): Opened {
    const before = this.#opened.get(file)
    if (before !== undefined) return before
    const opened = this.#context.tokens.vocabulary(file).catch((thrown: unknown) => {
      const why = thrown instanceof Error ? thrown.message : String(thrown)
      if (thrown instanceof Error && thrown.name === "InexactVocabularyError") {
        this.#context.log.warn(`conductor.tokenizer ${why}; the learnt ratio is used instead`)
        return undefined
      }
      this.#opened.delete(file)
      throw new Error(`conductor.tokenizer ${why}; name a tokenizer.json or a .gguf file`)
    })
    this.#opened.set(file, opened)
    return opened
  }

  async #close(file: string): Promise<void> {
    const opened = this.#opened.get(file)
    this.#opened.delete(file)
    const vocabulary = await opened?.catch(() => undefined)
    await vocabulary?.close()
  }
}

/** What stands before the first "=" is a pattern. */
function givenIn(entry: string): Given {
  const at = entry.indexOf("=")
  const pattern = at === -1 ? "*" : entry.slice(0, at)
  const file = entry.slice(at + 1)
  if (pattern === "" || file === "")
    throw new Error(`conductor.tokenizer ${entry}: write FILE or GLOB=FILE, for example deepseek*=tokenizer.json`)
  return { pattern, file }
}
