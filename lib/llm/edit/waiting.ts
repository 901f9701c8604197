/** Pieces that have no place yet where an edited stream stands: they wait, those of one text or call as one. */
import { AnswerLimit } from "../answer-limit.ts"
import { isPiece, joined, type Piece, textOf } from "./pieces.ts"

export class Waiting {
  readonly #limit = new AnswerLimit()
  readonly #keyOf: (piece: Piece) => string
  #pieces: Piece[] = []

  /** `keyOf`: which block or item a piece belongs to. */
  constructor(keyOf: (piece: Piece) => string) {
    this.#keyOf = keyOf
  }

  get any(): boolean {
    return this.#pieces.length > 0
  }

  add(piece: Piece): void {
    this.#limit.hold(textOf(piece))
    const key = this.#keyOf(piece)
    const at = this.#pieces.findLastIndex((known) => known.type === piece.type && this.#keyOf(known) === key)
    const known = this.#pieces[at]
    const isOne = known !== undefined && (piece.type === "toolCall" || at === this.#pieces.length - 1)
    const one = isOne ? joined([known, piece]) : undefined
    if (one && isPiece(one)) this.#pieces[at] = one
    else this.#pieces.push(piece)
  }

  /** Gives each to `place`, in order, until one has none; but a call that is not whole holds nothing up. */
  flush(place: (piece: Piece) => boolean, isBusy: () => boolean): void {
    const waiting = this.take()
    for (const [at, piece] of waiting.entries()) {
      if (place(piece)) continue
      this.#pieces.push(piece)
      if (piece.type === "toolCall" && !isBusy()) continue
      this.#pieces.push(...waiting.slice(at + 1))
      return
    }
  }

  take(): Piece[] {
    const pieces = this.#pieces
    this.#pieces = []
    return pieces
  }
}
