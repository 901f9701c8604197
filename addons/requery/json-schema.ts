/**
 * Holds a value against a JSON Schema that came with a request: draft 2020-12, or what came before it where the schema
 * says so or is written so. A schema is its client's, and must not stop the proxy for others: what it may cost is
 * bounded, and what may cost more is not held against the answer.
 */
import { Ajv, type AnySchema, type Options, type ValidateFunction } from "ajv"
import { Ajv2020 } from "ajv/dist/2020.js"
import type { JsonObject } from "llmproxy"
import { cheapPattern } from "./cheap-pattern.ts"

/** Compiled schemas that are remembered: an agent uses a dozen. */
const SCHEMAS_MAX = 32
/** Characters of a schema that is read at all. */
const SOURCE_CHARS_MAX = 100_000
/**
 * Characters of a schema that is compiled, without its descriptions, of which no code is made. Each 1,000 stop the loop for
 * 5 ms, so that these take 35 to 65 ms in every form that was measured (2026-11, one core of two); a form has some 2,000.
 */
const SCHEMA_CHARS_MAX = 8_000
/**
 * Steps that holding one value against a schema may take: some 100 ms. References make many ways through few characters,
 * twice as many with each level, and a recursive schema as many as the value is deep: so they are counted as they are
 * taken.
 */
const STEPS_MAX = 10_000_000
/** Steps of an entry of a schema that is referred to, beside those of its code and its value. */
const ENTRY_STEPS = 100
/** Characters of a schema and its code that make a step for each part of the value: not all is run for each. */
const CHARS_A_STEP = 10
/** Steps for a character of an item that is compared with others. */
const STEPS_A_CHAR = 10
/** Steps of a regular expression, as its most is reckoned, that make one of ours. */
const PATTERN_STEPS_A_STEP = 10

/** Drafts in which a list of `items` is what 2020-12 calls `prefixItems`. */
const OLDER_DRAFT = /draft-0[3-7]|draft\/2019/

export class Schemas {
  readonly #compiled = new Map<string, Compiled | undefined>()

  /** What violates the schema, in words; undefined: nothing does, or the schema cannot be held against anything. */
  violation(schema: JsonObject, value: unknown): string | undefined {
    const compiled = this.#compiledFor(schema)
    if (compiled === undefined || isValid(compiled, value) !== false) return undefined
    const [first] = compiled.validate.errors ?? []
    return first === undefined
      ? "it does not match"
      : `${first.instancePath || "the answer"} ${first.message ?? ""}`.trim()
  }

  /** Whether the value is known to match. */
  fits(schema: JsonObject, value: unknown): boolean {
    const compiled = this.#compiledFor(schema)
    return compiled !== undefined && isValid(compiled, value) === true
  }

  #compiledFor(schema: JsonObject): Compiled | undefined {
    const source = JSON.stringify(schema)
    if (source.length > SOURCE_CHARS_MAX) return undefined
    if (source.length > SCHEMA_CHARS_MAX && JSON.stringify(schema, terse).length > SCHEMA_CHARS_MAX) return undefined
    if (this.#compiled.has(source)) return this.#compiled.get(source)
    const [oldest] = this.#compiled.keys()
    if (this.#compiled.size >= SCHEMAS_MAX && oldest !== undefined) this.#compiled.delete(oldest)
    const compiled = compile(schema)
    this.#compiled.set(source, compiled)
    return compiled
  }
}

interface Compiled {
  readonly validate: ValidateFunction
  readonly meter: Meter
}

class UnknownError extends Error {}

/** What one validation has cost so far. */
class Meter {
  #steps = 0
  #sizes = new WeakMap<object, number>()

  reset(): void {
    this.#steps = 0
    this.#sizes = new WeakMap()
  }

  /** Throws an UnknownError where it becomes too much. */
  spend(steps: number): void {
    this.#steps += steps
    if (this.#steps > STEPS_MAX) throw new UnknownError("the schema takes too many steps")
  }

  /** Before `value` is held against code that takes so many steps at most for each part of a value. */
  enter(value: unknown, steps: number): void {
    this.spend(ENTRY_STEPS + steps * this.#sizeOf(value))
  }

  /** A value and all that it holds. */
  #sizeOf(value: unknown): number {
    if (typeof value !== "object" || value === null) return 1
    let size = this.#sizes.get(value)
    if (size === undefined) {
      size = 1
      for (const inner of Object.values(value)) size += this.#sizeOf(inner)
      this.#sizes.set(value, size)
    }
    return size
  }
}

function terse(key: string, value: unknown): unknown {
  return key === "description" && typeof value === "string" ? undefined : value
}

/**
 * Undefined where it cannot be told: a key that is too long for its pattern, a value deeper than the stack, too many ways
 * through the schema.
 */
function isValid({ validate, meter }: Compiled, value: unknown): boolean | undefined {
  meter.reset()
  try {
    return validate(value)
  } catch (thrown) {
    if (thrown instanceof UnknownError || thrown instanceof RangeError) return undefined
    throw thrown
  }
}

/** A form that somebody wrote by hand may be no schema: then there is nothing to hold an answer against. */
function compile(schema: JsonObject): Compiled | undefined {
  const isOlder = typeof schema.$schema === "string" && OLDER_DRAFT.test(schema.$schema)
  const { $schema: _, ...body } = schema
  for (const Draft of isOlder ? [Ajv] : [Ajv2020, Ajv]) {
    try {
      const meter = new Meter()
      const ajv = Object.assign(new Draft(optionsWith(meter)), { meter })
      return { validate: withBounds(ajv, meter).compile(body), meter }
    } catch (thrown) {
      if (thrown instanceof RangeError) return undefined // Deeper than the stack, in any draft.
      // The next draft may know what this one does not.
    }
  }
  return undefined
}

/**
 * Without the schema of schemas, which takes a hundred times as long to compile as a form. What is referred to is no copy,
 * or a schema could be made of thousands; and code is run as it is written, because making it terse takes as long again.
 */
function optionsWith(meter: Meter): Options {
  const regExp = (pattern: string) => propertyPattern(pattern, meter)
  return {
    strict: false,
    validateFormats: false,
    validateSchema: false,
    meta: false,
    logger: false,
    inlineRefs: false,
    code: { regExp: Object.assign(regExp, { code: "propertyPattern" }), optimize: false, process: metered },
  }
}

/** The head of the function that Ajv makes of a schema, and of each that is referred to. */
const HEAD = /(return function validate\d*\(data, \{[^{}]*(?:\{\}[^{}]*)*\}=\{\}\)\{)/

/** Each entry of a schema costs what its code may, which loops over lists and objects, and over what the schema lists. */
function metered(code: string, env?: { readonly schema: AnySchema }): string {
  const steps = Math.ceil((code.length + JSON.stringify(env?.schema ?? "").length) / CHARS_A_STEP)
  if (!HEAD.test(code)) throw new Error("what Ajv makes of a schema has another form, and cannot be bounded")
  return code.replace(HEAD, `$1self.meter.enter(data, ${steps});`)
}

/** Ajv's keywords whose cost the schema decides, by ours. */
function withBounds(ajv: Ajv | Ajv2020, meter: Meter): Ajv | Ajv2020 {
  const spend = (steps: number) => meter.spend(steps)
  const spendOnPattern = patternMeter(meter)
  ajv.removeKeyword("pattern")
  ajv.addKeyword({
    keyword: "pattern",
    type: "string",
    schemaType: "string",
    error: { message: "must match its pattern" },
    compile: (pattern: string) => {
      const test = cheapPattern(pattern, spendOnPattern)
      return (text: string) => test?.(text) !== false
    },
  })
  ajv.removeKeyword("uniqueItems")
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    error: { message: "must not have items that are the same" },
    compile: (isWanted: boolean) => (items: unknown[]) => !isWanted || areUnique(items, spend),
  })
  return ajv
}

function patternMeter(meter: Meter): (steps: number) => void {
  return (steps) => meter.spend(steps / PATTERN_STEPS_A_STEP)
}

function areUnique(items: readonly unknown[], spend: (steps: number) => void): boolean {
  const texts = new Set<string>()
  for (const item of items) {
    const text = JSON.stringify(item, sorted)
    spend(ENTRY_STEPS + text.length * STEPS_A_CHAR)
    texts.add(text)
  }
  return texts.size === items.length
}

/** Equal objects have one text, whatever the order of their keys. */
function sorted(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** For the names of properties: one that cannot be told is neither in nor out. */
function propertyPattern(pattern: string, meter: Meter): { test: (name: string) => boolean; toString: () => string } {
  const test = cheapPattern(pattern, patternMeter(meter))
  if (test === undefined) throw new UnknownError("the pattern may take for ever")
  return {
    test: (name) => {
      const isMatch = test(name)
      if (isMatch === undefined) throw new UnknownError("the name is too long for its pattern")
      return isMatch
    },
    // Ajv tells patterns apart by it.
    toString: () => pattern,
  }
}
