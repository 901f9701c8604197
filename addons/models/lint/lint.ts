/**
 * A request beside OpenAI's published schema, reduced: fields that there are not, of another type, or missing. What is found is
 * noted on the flow, and changes nothing. Pure.
 */
import type { JsonObject, JsonValue } from "llmproxy"

interface SchemaField {
  readonly types: readonly string[]
  /** Of its texts, where no others are taken. */
  readonly values?: readonly string[]
  readonly required?: true
}

/** Fields by the path of a call. */
export type Schema = Readonly<Record<string, Readonly<Record<string, SchemaField>>>>

export interface Finding {
  readonly field: string
  /** Goes on behind the field's name; it says nothing of its value. */
  readonly message: string
}

/** Of one request; what has more is no mistake but another API. */
const FINDINGS_MAX = 20
const NAME_CHARS_MAX = 60

/** Undefined: the schema has nothing for that path. */
export function lint(schema: Schema, path: string, body: JsonObject): Finding[] | undefined {
  const fields = schema[path.split("?", 1)[0] ?? ""]
  if (fields === undefined) return undefined
  const findings: Finding[] = []
  for (const [name, value] of Object.entries(body)) {
    if (findings.length >= FINDINGS_MAX) return findings
    const message = Object.hasOwn(fields, name) ? faultOf(fields[name], value) : "is no field of this call"
    if (message !== undefined) findings.push({ field: name.slice(0, NAME_CHARS_MAX), message })
  }
  const missing = Object.entries(fields).filter(([name, field]) => field.required === true && body[name] === undefined)
  return [...findings, ...missing.map(([field]) => ({ field, message: "is missing" }))].slice(0, FINDINGS_MAX)
}

function faultOf(field: SchemaField | undefined, value: JsonValue | undefined): string | undefined {
  if (field === undefined) return undefined
  const { types, values } = field
  const type = typeOf(value)
  if (!types.includes(type)) return `must be ${types.join(" or ")}, and is ${type}`
  if (typeof value !== "string" || values === undefined || values.includes(value)) return undefined
  return `must be one of ${values.join(", ")}`
}

function typeOf(value: JsonValue | undefined): string {
  if (value === null) return "null"
  return Array.isArray(value) ? "array" : typeof value
}
