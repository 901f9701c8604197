/**
 * What a JSON value is, told by looking.
 */
import type { JsonObject } from "llmproxy"

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
