/**
 * Holds a value against a JSON Schema that came with a request: draft 2020-12, or what came before it where the schema
 * says so or is written so. A schema is its client's, and must not stop the proxy for others: what it may cost is
 * bounded, and what may cost more is not held against the answer.
 */
import { Ajv, type Options, type ValidateFunction } from "ajv"
import { Ajv2020 } from "ajv/dist/2020.js"
import type { JsonObject } from "llmproxy"
import { cheapPattern } from "./cheap-pattern.ts"

/** Compiled schemas that are remembered: an agent uses a dozen. */
const SCHEMAS_MAX = 32
/** Characters of a schema that is compiled. */
const SCHEMA_CHARS_MAX = 100_000

/** Without the schema of schemas, which takes a hundred times as long to compile as a form. */
const SCHEMA_OPTIONS: Options = {
  strict: false,
  validateFormats: false,
  validateSchema: false,
  meta: false,
  logger: false,
  code: { regExp: Object.assign(propertyPattern, { code: "propertyPattern" }) },
}

/** Drafts in which a list of `items` is what 2020-12 calls `prefixItems`. */
const OLDER_DRAFT = /draft-0[3-7]|draft\/2019/

export class Schemas {
  readonly #compiled = new Map<string, ValidateFunction | undefined>()

  /** What violates the schema, in words; undefined: nothing does, or the schema cannot be held against anything. */
  violation(schema: JsonObject, value: unknown): string | undefined {
    const validate = this.#validatorFor(schema)
    if (validate === undefined || isValid(validate, value) !== false) return undefined
    const [first] = validate.errors ?? []
    return first === undefined
      ? "it does not match"
      : `${first.instancePath || "the answer"} ${first.message ?? ""}`.trim()
  }

  /** Whether the value is known to match. */
  fits(schema: JsonObject, value: unknown): boolean {
    const validate = this.#validatorFor(schema)
    return validate !== undefined && isValid(validate, value) === true
  }

  #validatorFor(schema: JsonObject): ValidateFunction | undefined {
    const source = JSON.stringify(schema)
    if (source.length > SCHEMA_CHARS_MAX) return undefined
    if (this.#compiled.has(source)) return this.#compiled.get(source)
    const [oldest] = this.#compiled.keys()
    if (this.#compiled.size >= SCHEMAS_MAX && oldest !== undefined) this.#compiled.delete(oldest)
    const validate = compile(schema)
    this.#compiled.set(source, validate)
    return validate
  }
}

/** Undefined where it cannot be told: a key that is too long for its pattern, a value deeper than the stack. */
function isValid(validate: ValidateFunction, value: unknown): boolean | undefined {
  try {
    return validate(value)
  } catch (thrown) {
    if (thrown instanceof UnknownError || thrown instanceof RangeError) return undefined
    throw thrown
  }
}

/** A form that somebody wrote by hand may be no schema: then there is nothing to hold an answer against. */
function compile(schema: JsonObject): ValidateFunction | undefined {
  const isOlder = typeof schema.$schema === "string" && OLDER_DRAFT.test(schema.$schema)
  const { $schema: _, ...body } = schema
  for (const Draft of isOlder ? [Ajv] : [Ajv2020, Ajv]) {
    try {
      return withBounds(new Draft(SCHEMA_OPTIONS)).compile(body)
    } catch {
      // The next draft may know what this one does not.
    }
  }
  return undefined
}

/** Ajv's keywords whose cost the schema decides, by ours. */
function withBounds(ajv: Ajv | Ajv2020): Ajv | Ajv2020 {
  ajv.removeKeyword("pattern")
  ajv.addKeyword({
    keyword: "pattern",
    type: "string",
    schemaType: "string",
    error: { message: "must match its pattern" },
    compile: (pattern: string) => {
      const test = cheapPattern(pattern)
      return (text: string) => test?.(text) !== false
    },
  })
  ajv.removeKeyword("uniqueItems")
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    error: { message: "must not have items that are the same" },
    compile: (isWanted: boolean) => (items: unknown[]) =>
      !isWanted || new Set(items.map((item) => JSON.stringify(item, sorted))).size === items.length,
  })
  return ajv
}

/** Equal objects have one text, whatever the order of their keys. */
function sorted(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

class UnknownError extends Error {}

/** For the names of properties: one that cannot be told is neither in nor out. */
function propertyPattern(pattern: string): { test: (name: string) => boolean } {
  const test = cheapPattern(pattern)
  if (test === undefined) throw new UnknownError("the pattern may take for ever")
  return {
    test: (name) => {
      const isMatch = test(name)
      if (isMatch === undefined) throw new UnknownError("the name is too long for its pattern")
      return isMatch
    },
  }
}
