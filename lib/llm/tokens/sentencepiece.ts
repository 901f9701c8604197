/**
 * Counts with a vocabulary of scored pieces, as SentencePiece's BPE models and llama.cpp use them: of all neighbours
 * whose union is a piece, the one with the highest score is joined first, the leftmost of equals. Spaces are written
 * as "▁"; what is in no piece becomes its UTF-8 bytes. Pure; vocabulary.ts knows the special tokens around it.
 * Source: Kudo and Richardson, "SentencePiece" (2018), 3.1; llama.cpp, src/llama-vocab.cpp.
 */
import { LRUCache } from "lru-cache"

export const SPACE_MARK = "▁"

const WORDS_KNOWN_MAX = 50_000
// Longer ones are slices that would keep their whole text alive, and rare.
const WORD_CHARS_KNOWN_MAX = 32

/** A pair of neighbours that could be joined. */
interface Union {
  readonly score: number
  readonly left: number
  readonly right: number
  /** UTF-16 units of both when they were found: a symbol that has grown since is another one. */
  readonly length: number
}

export class ScoredPieces {
  readonly #scores: ReadonlyMap<string, number>
  /** Characters after which some piece has a space within: there a text cannot be cut. */
  readonly #bound: ReadonlySet<string>
  readonly #known = new LRUCache<string, number>({ max: WORDS_KNOWN_MAX })

  constructor(scores: ReadonlyMap<string, number>) {
    this.#scores = scores
    this.#bound = beforeMarks(scores.keys())
  }

  /** Tokens of a text in which spaces are marks already. */
  count(text: string): number {
    let tokens = 0
    for (const word of this.#words(text)) tokens += this.#countWord(word)
    return tokens
  }

  /** Cut before a mark that no piece has after that character: no union crosses such a place, so the sum is exact. */
  #words(text: string): string[] {
    const words: string[] = []
    let from = 0
    for (let at = text.indexOf(SPACE_MARK, 1); at !== -1; at = text.indexOf(SPACE_MARK, at + 1)) {
      if (this.#bound.has(text.charAt(at - 1))) continue
      words.push(text.slice(from, at))
      from = at
    }
    if (from < text.length) words.push(text.slice(from))
    return words
  }

  #countWord(word: string): number {
    if (word.length > WORD_CHARS_KNOWN_MAX) return this.#merge(word)
    const before = this.#known.get(word)
    if (before !== undefined) return before
    const tokens = this.#merge(word)
    this.#known.set(word, tokens)
    return tokens
  }

  #merge(word: string): number {
    const symbols = [...word]
    const previous = symbols.map((_, at) => at - 1)
    const next = symbols.map((_, at) => at + 1)
    const queue = new UnionQueue()
    const propose = (left: number, right: number): void => {
      const [a, b] = [symbols[left], symbols[right]]
      if (a === undefined || b === undefined) return
      const score = this.#scores.get(a + b)
      if (score !== undefined) queue.push({ score, left, right, length: a.length + b.length })
    }
    for (let at = 1; at < symbols.length; at++) propose(at - 1, at)
    for (let union = queue.pop(); union !== undefined; union = queue.pop()) {
      const { left, right, length } = union
      const [a = "", b = ""] = [symbols[left], symbols[right]]
      if (a === "" || b === "" || a.length + b.length !== length) continue
      symbols[left] = a + b
      symbols[right] = ""
      const after = next[right] ?? symbols.length
      next[left] = after
      if (after < symbols.length) previous[after] = left
      propose(previous[left] ?? -1, left)
      propose(left, after)
    }
    return symbols.reduce((sum, symbol) => sum + this.#tokensOf(symbol), 0)
  }

  #tokensOf(symbol: string): number {
    if (symbol === "") return 0
    return this.#scores.has(symbol) ? 1 : Buffer.byteLength(symbol)
  }
}

/** The last UTF-16 unit before each mark that stands within a piece. */
export function beforeMarks(pieces: Iterable<string>): Set<string> {
  const found = new Set<string>()
  for (const piece of pieces) {
    for (let at = piece.indexOf(SPACE_MARK, 1); at !== -1; at = piece.indexOf(SPACE_MARK, at + 1))
      found.add(piece.charAt(at - 1))
  }
  return found
}

/** A binary heap: the highest score first, then the leftmost. */
class UnionQueue {
  readonly #heap: Union[] = []

  push(union: Union): void {
    const heap = this.#heap
    let at = heap.push(union) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (above === undefined || !isBefore(union, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = union
  }

  pop(): Union | undefined {
    const heap = this.#heap
    const [first] = heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      const child = this.#lowerOf(2 * at + 1)
      const below = heap[child]
      if (below === undefined || !isBefore(below, last)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
    return first
  }

  #lowerOf(child: number): number {
    const [one, other] = [this.#heap[child], this.#heap[child + 1]]
    return one !== undefined && other !== undefined && isBefore(other, one) ? child + 1 : child
  }
}

function isBefore(one: Union, other: Union): boolean {
  return one.score > other.score || (one.score === other.score && one.left < other.left)
}
