/**
 * A whole answer that is to say something else, as an edit of its deltas: the editors of the dialects (answer-edit.ts,
 * stream-edit.ts) put that into the provider's own JSON. A text that changed is written at its first piece, its others
 * go; what is new is said before the choice's end; what did not change is left alone, piece by piece.
 */
import type { Choice, Completion, CompletionChange, Delta, FinishReason, ToolCall } from "../model.ts"
import type { CallDelta, EditDelta, TextType } from "./pieces.ts"

const TEXTS: readonly TextType[] = ["reasoning", "text", "refusal"]
const FIELDS = [...TEXTS, "toolCalls", "finishReason"] as const

/**
 * The choices that `change` makes of an answer's: copies, which share nothing with it. Throws a TypeError or RangeError
 * for what no answer can say.
 */
export function changedChoices(completion: Completion, change: CompletionChange): Choice[] {
  const choices = (change.choices ?? completion.choices).map(copyOf)
  const known = new Set(completion.choices.map(({ index }) => index))
  for (const { index } of choices)
    if (!known.delete(index))
      throw new RangeError(
        `response.completion: choices can be changed and left out; there is no other choice ${index}`,
      )
  const [first] = choices
  for (const field of FIELDS) {
    // A completion has the fields of its first choice, too: those count that say something else.
    if (first !== undefined && change[field] !== undefined && change[field] !== completion[field])
      Object.assign(first, copyOf({ ...first, [field]: change[field] }))
  }
  for (const choice of choices) check(choice)
  return choices
}

export function copyOf(choice: Choice): Choice {
  return { ...choice, toolCalls: choice.toolCalls.map((call) => ({ ...call })) }
}

function check({ index, toolCalls, ...texts }: Choice): void {
  const wrong = TEXTS.find((type) => typeof texts[type] !== "string")
  if (wrong !== undefined) throw new TypeError(`response.completion: ${wrong} of choice ${index} is no string`)
  if (toolCalls.some((call) => typeof call.name !== "string" || typeof call.arguments !== "string"))
    throw new TypeError(`response.completion: a tool call of choice ${index} has no name, or no arguments (JSON text)`)
}

/** What changes an answer that says `before` into one that says `after`. For one run over its deltas. */
export function completionEdit(before: readonly Choice[], after: readonly Choice[]): EditDelta {
  const edits = new Map<number, ChoiceEdit>()
  for (const choice of after) {
    const old = before.find(({ index }) => index === choice.index)
    if (old !== undefined) edits.set(choice.index, new ChoiceEdit(old, choice))
  }
  return (delta) => ("index" in delta ? (edits.get(delta.index)?.edit(delta) ?? []) : [delta])
}

class ChoiceEdit {
  readonly #before: Choice
  readonly #after: Choice
  /** What is still to be said. */
  readonly #texts: Set<TextType>
  /** What becomes of each call; undefined: it is left out. */
  readonly #calls: readonly (ToolCall | undefined)[]
  readonly #added: ToolCall[]
  #ends = false
  /** Places of the calls that have been named, and of those whose arguments were said. */
  readonly #begun = new Set<number>()
  readonly #argued = new Set<number>()
  /** The numbers of the calls, by their places. */
  readonly #numbers: number[] = []

  constructor(before: Choice, after: Choice) {
    this.#before = before
    this.#after = after
    this.#texts = new Set(TEXTS.filter((type) => before[type] !== after[type]))
    const left = [...after.toolCalls]
    this.#calls = before.toolCalls.map((call, place) => {
      const at = left.findIndex((other) =>
        call.id === undefined ? other === after.toolCalls[place] : other.id === call.id,
      )
      return at < 0 ? undefined : left.splice(at, 1)[0]
    })
    this.#added = left
  }

  edit(delta: Exclude<Delta, { type: "usage" | "other" }>): readonly Delta[] {
    if (delta.type === "toolCall") return [...this.#call(delta), ...this.#missing(delta.index)]
    if (delta.type === "finish") {
      this.#ends = true
      return [...this.#missing(delta.index), { ...delta, reason: this.#reason(delta.reason) }]
    }
    if (this.#before[delta.type] === this.#after[delta.type]) return [delta]
    return this.#text(delta.type, delta.index)
  }

  #text(type: TextType, index: number): Delta[] {
    const text = this.#after[type]
    return this.#texts.delete(type) && text !== "" ? [{ type, index, text }] : []
  }

  #call(delta: CallDelta): Delta[] {
    const place = this.#placeOf(delta.call)
    const before = this.#before.toolCalls[place]
    const call = this.#calls[place]
    if (before === undefined || call === undefined) return []
    if (before.id === call.id && before.name === call.name && before.arguments === call.arguments) return [delta]
    // Arguments go where there were some: the piece that begins a call has no place for them in every dialect.
    const isFirst = !this.#begun.has(place)
    const isPlace = !this.#argued.has(place) && (delta.arguments !== "" || before.arguments === "")
    this.#begun.add(place)
    if (isPlace) this.#argued.add(place)
    // A name may come in pieces: the first is all of it, the others say nothing.
    if (!isFirst && !isPlace && delta.name === undefined) return []
    const named = isFirst ? { id: call.id, name: call.name } : { name: delta.name === undefined ? undefined : "" }
    return [{ ...delta, ...named, arguments: isPlace ? call.arguments : "" }]
  }

  /** Calls stand in the order in which they came, whatever their numbers are. */
  #placeOf(number: number): number {
    const known = this.#numbers.indexOf(number)
    return known < 0 ? this.#numbers.push(number) - 1 : known
  }

  /** Said once, behind all calls: some providers say with each of them that the choice ends. */
  #missing(index: number): Delta[] {
    if (!this.#ends || this.#numbers.length < this.#calls.length) return []
    const texts = [...this.#texts].flatMap((type) => this.#text(type, index))
    const free = Math.max(-1, ...this.#numbers) + 1
    const calls = this.#added.splice(0).map(({ id, name, arguments: json }, at): Delta => {
      return { type: "toolCall", index, call: free + at, id, name, arguments: json }
    })
    return [...texts, ...calls]
  }

  /** A new reason has no word of the provider's, unless it brings one. */
  #reason(told: FinishReason): FinishReason {
    const { unified, raw } = this.#after.finishReason
    const before = this.#before.finishReason
    if (unified === before.unified && raw === before.raw) return told
    return { unified, raw: raw === before.raw ? undefined : raw }
  }
}
