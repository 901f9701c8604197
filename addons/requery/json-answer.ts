/**
 * The JSON in an answer: as it stands, or with prose, fences and small faults taken off. What was cut in the middle of a
 * value is not repaired: the rest is missing, and nobody would notice.
 */
import { type FinishReason, isObject } from "llmproxy"
import { findJson } from "./json-find.ts"
import { mendJson } from "./json-mend.ts"
import { spoken } from "./spoken.ts"

export interface JsonReading {
  readonly value: unknown
  /** What a client should get in place of the answer's text; undefined: the text itself. */
  readonly mended: string | undefined
}

/** What somebody waits for. */
export interface Wanted {
  /** What its object is expected to have, some of it. */
  readonly keys: readonly string[]
  /** Whether a value satisfies the schema that came with the request; false without one. */
  fits(value: unknown): boolean
}

/** The answer's JSON; a text says why there is none. */
export function readJson(text: string, wanted: Wanted, finish: FinishReason): JsonReading | string {
  const whole = parsed(text)
  if (whole !== undefined && isRoot(whole.value, wanted)) return { value: whole.value, mended: undefined }
  const said = spoken(text)
  return found(said, wanted, finish) ?? scalar(said, wanted) ?? "there is no JSON object in the answer"
}

/**
 * The longest value, or of those that have an expected key the longest. Where the longest is broken beyond repair, a
 * shorter one is an example or a part, unless it is what the request asks for.
 */
function found(said: string, wanted: Wanted, finish: FinishReason): JsonReading | string | undefined {
  const { values, unfinished } = findJson(said)
  let longest: JsonReading | string | undefined
  for (const { start, end } of values) {
    const reading = end === undefined ? readOpen(said.slice(start), unfinished, finish) : mend(said.slice(start, end))
    if (typeof reading !== "string" && (isMeant(reading.value, wanted) || isOnlyOne(longest, wanted))) return reading
    longest ??= reading
  }
  return longest
}

/** Whether an answer is JSON that a parser takes, and nothing else, in a fence or not. */
export function isWholeJson(text: string): boolean {
  const value = parsed(unfenced(spoken(text)))?.value
  return isObject(value) || Array.isArray(value)
}

function isMeant(value: unknown, { keys, fits }: Wanted): boolean {
  if (keys.length === 0) return fits(value)
  return isObject(value) && Object.keys(value).some((key) => keys.includes(key))
}

/** Whether a value is taken for being the longest: where no key tells the one that is meant. */
function isOnlyOne(longest: JsonReading | string | undefined, { keys }: Wanted): boolean {
  return longest === undefined && keys.length === 0
}

function readOpen(text: string, unfinished: string | undefined, finish: FinishReason): JsonReading | string {
  const rest = withoutFence(text)
  const isCut = finish.unified === "length" || finish.unified === "cut" || !/[}\]]$/.test(rest)
  return isCut && unfinished !== "brackets" ? "the JSON is cut off" : mend(rest)
}

/** Without white space around it, and without backticks at its end. Looks at each character once. */
function withoutFence(text: string): string {
  const trimmed = text.trim()
  let end = trimmed.length
  while (trimmed[end - 1] === "`") end -= 1
  return end === trimmed.length ? trimmed : trimmed.slice(0, end).trimEnd()
}

function unfenced(text: string): string {
  return withoutFence(text)
    .replace(/^```(?:json)?/, "")
    .trim()
}

function mend(text: string): JsonReading | string {
  const value = parsed(text)
  if (value !== undefined) return { ...value, mended: text }
  try {
    const mended = mendJson(text)
    const repaired = parsed(mended)
    return repaired === undefined ? "the JSON is broken" : { ...repaired, mended }
  } catch (thrown) {
    return `the JSON is broken: ${thrown instanceof Error ? thrown.message : String(thrown)}`
  }
}

/** A text, a number or a word in a fence, where the answer is nothing else and the schema asks for one. */
function scalar(said: string, wanted: Wanted): JsonReading | undefined {
  const inner = unfenced(said)
  const value = parsed(inner)
  return value !== undefined && isRoot(value.value, wanted) ? { ...value, mended: inner } : undefined
}

function isRoot(value: unknown, { fits }: Wanted): boolean {
  return isObject(value) || Array.isArray(value) || fits(value)
}

function parsed(text: string): { readonly value: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return { value }
  } catch {
    return undefined
  }
}
