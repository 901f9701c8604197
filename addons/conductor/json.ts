/**
 * JSON from outside, checked before it is used: a host may send anything.
 */
import { isObject, type JsonObject, type JsonValue } from "llmproxy"

/** The object that a JSON text holds, a byte order mark before it or not; undefined for anything else. */
export function objectIn(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ""))
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** The objects of a list; none for what is no list. */
export function objectsOf(value: JsonValue | undefined): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** Whether a field says something: there, and neither null, false, 0, "" nor an empty list. */
export function isSet(value: JsonValue | undefined): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value)
}
