/**
 * JSON as data from outside: a type for it and the checks that turn it into values. A check returns undefined, it never
 * throws: every provider sends odd shapes, and an odd shape must cost a field, not a flow.
 */
export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject
export interface JsonObject {
  [key: string]: JsonValue | undefined
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

export function stringOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined
}

export function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined
}

export function arrayOf(value: unknown): JsonValue[] {
  return Array.isArray(value) ? (value as JsonValue[]) : []
}

export function objectOf(value: unknown): JsonObject | undefined {
  return isObject(value) ? value : undefined
}

const BOM = 0xfeff

/** The text behind a byte order mark, which readers of JSON may skip (RFC 8259, section 8.1). */
export function withoutBom(text: string): string {
  return text.charCodeAt(0) === BOM ? text.slice(1) : text
}

/** The value of a JSON text, or undefined when it is none. */
export function parseJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(withoutBom(text)) as JsonValue
  } catch {
    return undefined
  }
}
