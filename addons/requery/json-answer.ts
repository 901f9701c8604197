/**
 * The JSON in an answer: as it stands, or with prose, fences and small faults taken off. What was cut in the middle of a
 * value is not repaired: the rest is missing, and nobody would notice.
 */
import { Ajv, type ValidateFunction } from "ajv"
import { jsonrepair } from "jsonrepair"
import type { FinishReason, JsonObject } from "llmproxy"
import { isObject } from "./demand.ts"
import { type ScannedObject, scan } from "./json-scan.ts"
import { spoken } from "./spoken.ts"

/** Compiled schemas that are remembered: an agent uses a dozen. */
const SCHEMAS_MAX = 32

export interface JsonReading {
  readonly value: JsonObject | readonly unknown[]
  /** What a client should get in place of the answer's text; undefined: the text itself. */
  readonly mended: string | undefined
}

/** The answer's JSON; a text says why there is none. `keys`: what its object is expected to have, some of it. */
export function readJson(text: string, keys: readonly string[], finish: FinishReason): JsonReading | string {
  const whole = parsed(text)
  if (whole !== undefined) return { value: whole, mended: undefined }
  const said = spoken(text)
  const scanner = scan(said)
  const { unfinished } = scanner
  const found = chosen(scanner.objects, keys)
  if (found?.end !== undefined) return mend(said.slice(found.start, found.end))
  if (found === undefined) return parsedList(withoutFence(said)) ?? "there is no JSON object in the answer"
  const rest = withoutFence(said.slice(found.start))
  const isCut = finish.unified === "length" || finish.unified === "cut" || !/[}\]]$/.test(rest)
  return isCut && unfinished !== "brackets" ? "the JSON is cut off" : mend(rest)
}

/** The last object that has an expected key, else the last; where no key is expected the longest. */
function chosen(objects: readonly ScannedObject[], keys: readonly string[]): ScannedObject | undefined {
  const named = objects.filter((object) => keys.length === 0 || object.keys.some((key) => keys.includes(key)))
  const whole = named.filter(({ end }) => end !== undefined)
  const open = named.find(({ end }) => end === undefined)
  if (keys.length > 0) return open ?? whole.at(-1) ?? objects.at(-1)
  return whole.toSorted((a, b) => lengthOf(b) - lengthOf(a))[0] ?? open
}

function lengthOf({ start, end }: ScannedObject): number {
  return (end ?? start) - start
}

function withoutFence(text: string): string {
  return text.trim().replace(/\s*`+$/, "")
}

function mend(text: string): JsonReading | string {
  const value = parsed(text)
  if (value !== undefined) return { value, mended: text }
  try {
    const mended = jsonrepair(text)
    const repaired = parsed(mended)
    return repaired === undefined ? "the answer's JSON is no object" : { value: repaired, mended }
  } catch (thrown) {
    return `the JSON is broken: ${thrown instanceof Error ? thrown.message : String(thrown)}`
  }
}

/** A list in a fence, where the answer is nothing else. */
function parsedList(text: string): JsonReading | undefined {
  const inner = text.replace(/^```(?:json)?\s*/, "")
  const value = inner.startsWith("[") ? parsed(inner) : undefined
  return value === undefined ? undefined : { value, mended: inner }
}

function parsed(text: string): JsonReading["value"] | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) || Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

export class Schemas {
  readonly #compiled = new Map<string, ValidateFunction | undefined>()

  /** What violates the schema, in words; undefined: nothing does, or the schema itself is none. */
  violation(schema: JsonObject, value: JsonReading["value"]): string | undefined {
    const validate = this.#validatorFor(schema)
    if (validate === undefined || validate(value)) return undefined
    const [first] = validate.errors ?? []
    return first === undefined
      ? "it does not match"
      : `${first.instancePath || "the answer"} ${first.message ?? ""}`.trim()
  }

  #validatorFor(schema: JsonObject): ValidateFunction | undefined {
    const source = JSON.stringify(schema)
    if (this.#compiled.has(source)) return this.#compiled.get(source)
    const [oldest] = this.#compiled.keys()
    if (this.#compiled.size >= SCHEMAS_MAX && oldest !== undefined) this.#compiled.delete(oldest)
    const validate = compile(schema)
    this.#compiled.set(source, validate)
    return validate
  }
}

/** Without the schema of schemas, which takes a hundred times as long to compile as a form. */
const SCHEMA_OPTIONS = {
  strict: false,
  validateFormats: false,
  validateSchema: false,
  meta: false,
  logger: false,
} as const

/** A form that somebody wrote by hand may be no schema: then there is nothing to hold an answer against. */
function compile(schema: JsonObject): ValidateFunction | undefined {
  try {
    return new Ajv(SCHEMA_OPTIONS).compile(schema)
  } catch {
    return undefined
  }
}
