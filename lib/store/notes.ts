/**
 * What addons leave in a flow's metadata as data that can go to a thread and to a disk. Pure.
 */
import { isObject, type JsonValue } from "../llm/json.ts"

/** Below this depth a value is left out: nothing that a person wrote is nested so far. */
const DEPTH_MAX = 64

/** Whether a value is JSON that can be kept: what addons leave in a flow's metadata may be anything. */
export function asJson(value: unknown, depth = 0): JsonValue | undefined {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value
  if (typeof value === "number") return Number.isFinite(value) ? value : null
  if (depth > DEPTH_MAX || typeof value !== "object") return undefined
  if (Array.isArray(value)) return value.map((item) => asJson(item, depth + 1) ?? null)
  if (!isObject(value) || !isPlain(value)) return undefined
  const entries = Object.entries(value).map(([key, item]) => [key, asJson(item, depth + 1)] as const)
  return Object.fromEntries(entries.filter(([, item]) => item !== undefined))
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
