/**
 * What a list of tools costs: OpenAI writes each function as a line, and each of its parameters as one. The published
 * rule stops at the first level; deeper levels are counted by the same rule, which is an approximation.
 * Source: OpenAI cookbook, "How to count tokens with tiktoken", section 7 (101 tokens for gpt-4o, 105 for gpt-4).
 */
import { arrayOf, isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../../base/json.ts"
import type { EncodingName } from "./encodings.ts"

/** Where the texts and the fixed costs go. */
export interface Tally {
  fixed: number
  estimated: boolean
  text(text: string | undefined): void
}

const LIST_TOKENS = 12
const FUNCTION_TOKENS = 7
const FUNCTION_TOKENS_CL100K = 10
const PROPERTIES_TOKENS = 3
const PROPERTY_TOKENS = 3
const ENUM_TOKENS = -3
const ENUM_ITEM_TOKENS = 3

// Deeper schemas say nothing more to a model; a schema of a thousand levels must not exhaust the stack.
const SCHEMA_DEPTH_MAX = 16

export function planTools(tally: Tally, tools: readonly JsonValue[], encoding: EncodingName): void {
  if (tools.length === 0) return
  tally.fixed += LIST_TOKENS
  tally.estimated = true
  for (const tool of tools) {
    if (!isObject(tool)) continue
    // chat: {function: {...}} or {custom: {...}}; responses, messages and the legacy `functions`: the thing itself
    const spec = objectOf(tool.function) ?? objectOf(tool.custom) ?? tool
    tally.fixed += encoding === "cl100k_base" ? FUNCTION_TOKENS_CL100K : FUNCTION_TOKENS
    tally.text(`${stringOf(spec.name) ?? stringOf(tool.type) ?? ""}:${description(spec)}`)
    const schema = objectOf(spec.parameters) ?? objectOf(spec.input_schema)
    if (schema !== undefined) planSchema(tally, schema, 0)
    else if (isObject(spec.format)) tally.text(jsonText(spec.format))
  }
}

function planSchema(tally: Tally, schema: JsonObject, depth: number): void {
  if (depth >= SCHEMA_DEPTH_MAX) return
  const properties = Object.entries(objectOf(schema.properties) ?? {})
  if (properties.length > 0) tally.fixed += PROPERTIES_TOKENS
  for (const [name, property] of properties) planProperty(tally, name, objectOf(property) ?? {}, depth)
  for (const definition of Object.values(objectOf(schema.$defs) ?? {})) {
    if (isObject(definition)) planSchema(tally, definition, depth + 1)
  }
}

function planProperty(tally: Tally, name: string, property: JsonObject, depth: number): void {
  tally.fixed += PROPERTY_TOKENS
  const items = arrayOf(property.enum)
  if (items.length > 0) tally.fixed += ENUM_TOKENS
  for (const item of items) {
    tally.fixed += ENUM_ITEM_TOKENS
    tally.text(typeof item === "string" ? item : jsonText(item))
  }
  const type = stringOf(property.type) ?? arrayOf(property.type).join("|")
  tally.text(`${name}:${type}:${description(property)}`)
  const inner = [property, property.items, ...arrayOf(property.anyOf), ...arrayOf(property.oneOf)]
  for (const schema of inner) {
    if (isObject(schema)) planSchema(tally, schema, depth + 1)
  }
}

/** A final full stop is left out. */
function description(spec: JsonObject): string {
  return (stringOf(spec.description) ?? "").replace(/\.$/, "")
}

/** JSON text; none for a value that is nested too deep to be written, which parsing allows. */
export function jsonText(value: JsonValue): string {
  try {
    return JSON.stringify(value)
  } catch {
    return ""
  }
}
