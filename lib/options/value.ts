/**
 * One given value, a text or what YAML made of it, becomes the value that an option's declaration promises. Pure.
 * Says in words what is allowed; the message around it, with the source, is made by options.ts.
 */
import type { OptionSpec } from "./spec.ts"

/** A text (flag, environment), several (a repeated flag), or anything that a config file holds. */
export type RawValue = unknown

export type ReadValue = { readonly ok: true; readonly value: unknown } | { readonly ok: false }

const WRONG: ReadValue = { ok: false }
const WORDS: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  "1": true,
  false: false,
  no: false,
  off: false,
  "0": false,
}

export function readValue(spec: OptionSpec, raw: RawValue): ReadValue {
  switch (spec.type) {
    case "string":
      return readString(spec.choices, lastOf(raw))
    case "integer":
    case "number":
      return readNumber(spec, lastOf(raw))
    case "boolean":
      return readBoolean(lastOf(raw))
    case "list":
      return readList(raw)
    case "json":
      return readJson(lastOf(raw))
    case "items":
      return readItems(raw)
  }
}

/** What may be given, in words that follow "must be". */
export function allowedBy(spec: OptionSpec): string {
  switch (spec.type) {
    case "string":
      return spec.choices === undefined ? "a text" : `one of ${spec.choices.join(", ")}`
    case "integer":
    case "number":
      return (spec.type === "integer" ? "an integer" : "a number") + rangeOf(spec.min, spec.max)
    case "boolean":
      return "true or false"
    case "list":
      return "a list, with commas between or the flag repeated"
    case "json":
      return 'a JSON object, as in {"key": 1}'
    case "items":
      return 'a JSON list, as in [{"key": 1}]'
  }
}

function rangeOf(min: number | undefined, max: number | undefined): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`
  if (min !== undefined) return ` of at least ${min}`
  return max === undefined ? "" : ` of at most ${max}`
}

/** A flag that was repeated without need: the last one counts, as people expect of command lines. */
function lastOf(raw: RawValue): RawValue {
  return Array.isArray(raw) ? raw.at(-1) : raw
}

function readString(choices: readonly string[] | undefined, raw: RawValue): ReadValue {
  // YAML reads `model: 7` as a number; the person meant a text.
  const text = typeof raw === "number" || typeof raw === "boolean" ? String(raw) : raw
  if (typeof text !== "string" || (choices !== undefined && !choices.includes(text))) return WRONG
  return { ok: true, value: text }
}

function readNumber(spec: { type: string; min?: number; max?: number }, raw: RawValue): ReadValue {
  const value = typeof raw === "string" ? numberOf(raw.trim()) : raw
  if (typeof value !== "number" || !Number.isFinite(value)) return WRONG
  if (spec.type === "integer" && !Number.isSafeInteger(value)) return WRONG
  if (spec.min !== undefined && value < spec.min) return WRONG
  if (spec.max !== undefined && value > spec.max) return WRONG
  return { ok: true, value }
}

/** Decimal only: Number() would take "" as 0 and "0x10" as 16. */
function numberOf(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN
}

function readBoolean(raw: RawValue): ReadValue {
  const value = typeof raw === "boolean" ? raw : WORDS[String(raw).trim().toLowerCase()]
  return value === undefined ? WRONG : { ok: true, value }
}

function readList(raw: RawValue): ReadValue {
  if (typeof raw === "string") return { ok: true, value: splitList(raw) }
  if (!Array.isArray(raw)) return WRONG
  const items = raw.filter((item) => typeof item === "string" || typeof item === "number")
  return items.length === raw.length ? { ok: true, value: items.map(String) } : WRONG
}

/** `a, b,,c` as a, b and c. */
export function splitList(text: string): string[] {
  const items = text.split(",").map((item) => item.trim())
  return items.filter((item) => item !== "")
}

function readJson(raw: RawValue): ReadValue {
  const value = typeof raw === "string" ? parsed(raw) : raw
  return isRecord(value) ? { ok: true, value } : WRONG
}

function readItems(raw: RawValue): ReadValue {
  const value = typeof raw === "string" ? parsed(raw) : raw
  return Array.isArray(value) ? { ok: true, value } : WRONG
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Whether it is an object of whatever: what a user's code or file gave, functions too. JSON is `isObject`'s (base/json.ts). */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
