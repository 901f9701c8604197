/** Pieces that have no place yet where an edited stream stands: they wait, those of one text or call as one. */

import { type JsonObject, objectOf, stringOf } from "../../base/json.ts"
import { AnswerLimit } from "../answer-limit.ts"
import type { Delta, Usage } from "../model.ts"
import { isWholeObject } from "../tool-arguments.ts"
import { mergeUsage } from "../usage.ts"
import { isPiece, joined, type Piece, pieceText } from "./pieces.ts"

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
    this.#limit.hold(pieceText(piece))
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

/** What an editor of blocks or items does with what has no place in its event. */
export interface Stand {
  /** Which block or item a piece belongs to. */
  keyOf(piece: Piece): string
  /** Puts a piece where it can stand; false where there is no such place yet. `last`: nothing more of the answer follows. */
  place(piece: Piece, last: boolean): boolean
  /** Something is open that has not ended. */
  isBusy(): boolean
  /** An event of the addon's own. */
  write(type: string, json: JsonObject): void
  /** The encoder ends the answer with it. */
  note(delta: Delta): void
}

/** What was made of an event's deltas and has no place in it: pieces wait for one, a usage is owed to the end. */
export class Leftover {
  readonly #stand: Stand
  readonly #waiting: Waiting
  /** A usage that had no place yet. */
  owed: Usage | undefined

  constructor(stand: Stand) {
    this.#stand = stand
    this.#waiting = new Waiting((piece) => stand.keyOf(piece))
  }

  get any(): boolean {
    return this.#waiting.any
  }

  leave(deltas: readonly Delta[]): void {
    for (const delta of deltas) {
      if (isPiece(delta)) this.#waiting.add(delta)
      else if (delta.type === "other") {
        const raw = objectOf(delta.raw)
        const type = stringOf(raw?.type)
        if (raw && type) this.#stand.write(type, raw)
      } else {
        if (delta.type === "usage") this.owed = mergeUsage(this.owed, delta.usage)
        this.#stand.note(delta)
      }
    }
    this.flush(false)
  }

  /** Writes what waits, as far as it can stand somewhere. `last`: nothing more of the answer follows. */
  flush(last: boolean): void {
    this.#waiting.flush(
      (piece) => this.#stand.place(piece, last),
      () => this.#stand.isBusy(),
    )
  }

  take(): Piece[] {
    return this.#waiting.take()
  }
}

/** Whether a piece may have a block or an item of its own: a call that is not whole may go on. */
export function mayStandAlone(piece: Piece, last: boolean): boolean {
  return piece.type !== "toolCall" || last || isWholeObject(piece.arguments)
}
