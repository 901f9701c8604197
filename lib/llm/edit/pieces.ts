/** What editors ask of deltas: which belong together, what several are as one, and where what was made of some goes. */
import { type JsonObject, objectOf } from "../../base/json.ts"
import type { Delta } from "../model.ts"
import { deepEqual } from "../spans.ts"

export type TextType = "text" | "reasoning" | "refusal"
type TextDelta = Extract<Delta, { type: TextType }>
export type CallDelta = Extract<Delta, { type: "toolCall" }>
export type Piece = TextDelta | CallDelta

/** What an addon makes of a delta. */
export type EditDelta = (delta: Delta) => readonly Delta[]

function isText(delta: Delta): delta is TextDelta {
  return delta.type === "text" || delta.type === "reasoning" || delta.type === "refusal"
}

export function isPiece(delta: Delta): delta is Piece {
  return isText(delta) || delta.type === "toolCall"
}

export function pieceText(delta: Piece): string {
  return delta.type === "toolCall" ? delta.arguments : delta.text
}

/** Deltas of one key make one text, one call, one end. */
export function keyOf(delta: Delta): string {
  if (delta.type === "toolCall") return `toolCall ${delta.index} ${delta.call}`
  return "index" in delta ? `${delta.type} ${delta.index}` : delta.type
}

export function sameDelta(a: Delta, b: Delta): boolean {
  if (a === b) return true
  if (keyOf(a) !== keyOf(b)) return false
  if (isText(a)) return isText(b) && a.text === b.text
  if (a.type === "usage") return b.type === "usage" && USAGE_FIELDS.every((name) => a.usage[name] === b.usage[name])
  if (a.type === "finish")
    return b.type === "finish" && a.reason.unified === b.reason.unified && a.reason.raw === b.reason.raw
  if (a.type === "other") return b.type === "other" && deepEqual(a.raw, b.raw)
  return b.type === "toolCall" && a.id === b.id && a.name === b.name && a.arguments === b.arguments
}

/** Another event than the one that came, in its place. */
export function otherThan(told: Delta | undefined, given: Delta | undefined): JsonObject | undefined {
  return told?.type === "other" && given !== undefined && !sameDelta(told, given) ? objectOf(told.raw) : undefined
}

const USAGE_FIELDS = [
  "inputTokens",
  "outputTokens",
  "totalTokens",
  "cachedTokens",
  "reasoningTokens",
  "source",
] as const

/** Whether what was made of deltas is what they are. */
export function unchanged(given: readonly Delta[], made: readonly (readonly Delta[])[]): boolean {
  return given.every((delta, at) => {
    const [only, ...more] = made[at] ?? []
    return only !== undefined && more.length === 0 && sameDelta(delta, only)
  })
}

/** Deltas of one key as one. Texts are added and not joined: a long one grows piece by piece, and is not copied for each. */
export function joined(deltas: readonly Delta[]): Delta | undefined {
  const [first] = deltas
  if (first === undefined || deltas.length === 1) return first
  if (isText(first)) return { ...first, text: added(deltas.map((delta) => (isText(delta) ? delta.text : ""))) }
  if (first.type !== "toolCall") return deltas.at(-1)
  const calls = deltas.filter((delta) => delta.type === "toolCall")
  const names = calls.flatMap(({ name }) => name ?? [])
  return {
    ...first,
    id: calls.find(({ id }) => id !== undefined)?.id,
    name: names.length === 0 ? undefined : names.join(""),
    arguments: added(calls.map((call) => call.arguments)),
  }
}

function added(texts: readonly string[]): string {
  return texts.reduce((all, text) => all + text, "")
}

export interface Shares {
  /** For each delta given: what is to be told in its place; undefined: nothing. */
  readonly told: readonly (Delta | undefined)[]
  /** What has no place among them, and stands before all that has, or behind some that has. */
  readonly before: readonly Delta[]
  readonly behind: readonly Delta[]
}

/**
 * Shares what was made of `given` among the places of `given`: each piece goes to its own place, else to the last one
 * of its key, else to the next. What has none is left over, in its order.
 */
export function shareOut(given: readonly Delta[], made: readonly (readonly Delta[])[]): Shares {
  const keys = given.map(keyOf)
  const told = given.map((): Delta[] => [])
  const before: Delta[] = []
  const behind: Delta[] = []
  for (const [at, deltas] of made.entries()) {
    for (const delta of deltas) {
      const place = delta.type === "other" ? otherPlace(given, told, at) : placeFor(keys, keyOf(delta), at)
      if (place !== undefined) told[place]?.push(delta)
      else add(told.some((some) => some.length > 0) ? behind : before, delta)
    }
  }
  return { told: told.map(joined), before, behind }
}

/** What no delta of ours tells is one with nothing else, however it looks. */
function otherPlace(given: readonly Delta[], told: readonly (readonly Delta[])[], at: number): number | undefined {
  return given[at]?.type === "other" && told[at]?.length === 0 ? at : undefined
}

/** Appends `delta`, as one with the last of `list` where they are of one key. */
function add(list: Delta[], delta: Delta): void {
  const last = list.at(-1)
  const one = last && delta.type !== "other" && keyOf(last) === keyOf(delta) ? joined([last, delta]) : undefined
  if (one === undefined) list.push(delta)
  else list[list.length - 1] = one
}

function placeFor(keys: readonly string[], key: string, at: number): number | undefined {
  if (keys[at] === key) return at
  const earlier = keys.lastIndexOf(key, at)
  if (earlier !== -1) return earlier
  const later = keys.indexOf(key, at)
  return later === -1 ? undefined : later
}
