/**
 * Byte pair encoding of one piece: joins the two neighbours whose union has the lowest rank, the leftmost of equals, until
 * no union is a token. Short pieces, nearly all there are, are searched through for each union; long ones, such as a
 * megabyte of one letter, have a heap, so that their time grows with their length and not with its square.
 * Source: openai/tiktoken, src/lib.rs, which has the same two ways.
 */

// Bytes from which on the heap is faster than the search.
const SEARCHED_BYTES_MAX = 128

// A rank and a place are one number in the heap: 18 bits are enough for either table's ranks, 53 for both.
const PLACES = 2 ** 32

/** How many tokens a piece has. `bytes`: a character a byte. */
export function countMerged(ranks: ReadonlyMap<string, number>, bytes: string): number {
  if (ranks.has(bytes)) return 1
  return bytes.length <= SEARCHED_BYTES_MAX ? countBySearch(ranks, bytes) : countByHeap(ranks, bytes)
}

function countBySearch(ranks: ReadonlyMap<string, number>, bytes: string): number {
  const starts = Array.from({ length: bytes.length + 1 }, (_, at) => at)
  const unionRank = (at: number): number =>
    at + 2 < starts.length ? (ranks.get(bytes.slice(starts[at], starts[at + 2])) ?? Infinity) : Infinity
  const unions = starts.map((at) => unionRank(at))
  for (;;) {
    const lowest = Math.min(...unions)
    if (lowest === Infinity) return starts.length - 1
    const at = unions.indexOf(lowest)
    starts.splice(at + 1, 1)
    unions.splice(at + 1, 1)
    unions[at] = unionRank(at)
    if (at > 0) unions[at - 1] = unionRank(at - 1)
  }
}

/** Parts are known by the place of their first byte. */
function countByHeap(ranks: ReadonlyMap<string, number>, bytes: string): number {
  const { length } = bytes
  const next = Int32Array.from({ length: length + 1 }, (_, at) => at + 1)
  const previous = Int32Array.from({ length: length + 1 }, (_, at) => at - 1)
  // The rank of the union that begins at a place; -1 for none. What the heap has of an earlier one is out of date.
  const unions = new Int32Array(length + 1).fill(-1)
  const heap = new NumberHeap(length)
  const behind = (at: number): number => next[at] ?? length
  const propose = (at: number): void => {
    const right = behind(at)
    const rank = right < length ? ranks.get(bytes.slice(at, next[right])) : undefined
    unions[at] = rank ?? -1
    if (rank !== undefined) heap.push(rank * PLACES + at)
  }
  for (let at = 0; at < length - 1; at++) propose(at)
  let tokens = length
  for (let lowest = heap.pop(); lowest !== undefined; lowest = heap.pop()) {
    const at = lowest % PLACES
    if (unions[at] !== (lowest - at) / PLACES) continue
    tokens--
    const right = behind(at)
    const after = behind(right)
    unions[right] = -1
    next[at] = after
    previous[after] = at
    propose(at)
    const before = previous[at]
    if (before !== undefined && before >= 0) propose(before)
  }
  return tokens
}

/** A binary heap, the lowest number first. */
class NumberHeap {
  #numbers: Float64Array
  #length = 0

  constructor(capacity: number) {
    this.#numbers = new Float64Array(Math.max(1, capacity))
  }

  push(number: number): void {
    if (this.#length === this.#numbers.length) {
      const grown = new Float64Array(this.#numbers.length * 2)
      grown.set(this.#numbers)
      this.#numbers = grown
    }
    let at = this.#length++
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = this.#at(parent)
      if (above <= number) break
      this.#numbers[at] = above
      at = parent
    }
    this.#numbers[at] = number
  }

  pop(): number | undefined {
    if (this.#length === 0) return undefined
    const first = this.#at(0)
    const last = this.#at(--this.#length)
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= this.#length) break
      if (child + 1 < this.#length && this.#at(child + 1) < this.#at(child)) child++
      const below = this.#at(child)
      if (below >= last) break
      this.#numbers[at] = below
      at = child
    }
    this.#numbers[at] = last
    return first
  }

  #at(place: number): number {
    return this.#numbers[place] ?? Infinity
  }
}
