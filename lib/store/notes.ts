/**
 * What addons leave in a flow's metadata as data that can go to a thread and to a disk. Pure.
 */
import { isObject, type JsonValue } from "../base/json.ts"

/** Below this depth a value is left out: nothing that a person wrote is nested so far. */
const DEPTH_MAX = 64
/** Values that one note may hold, each counted as often as it is referred to; further ones are left out. */
export const NOTE_VALUES_MAX = 100_000
/** Characters of texts and names that one note may hold, counted in the same way. */
export const NOTE_CHARS_MAX = 16 * 1024 * 1024

/**
 * What of a value is JSON that can be kept, a copy: what addons leave in a flow's metadata may be anything. A value within
 * itself is left out, as is what exceeds a limit: from a member of an object with its name, from a list as null.
 */
export function asJson(value: unknown): JsonValue | undefined {
  return new Copy().of(value)
}

class Copy {
  #values = NOTE_VALUES_MAX
  #chars = NOTE_CHARS_MAX
  /** The objects that the value in hand stands in: as many as it is deep. */
  readonly #ancestors: object[] = []

  of(value: unknown): JsonValue | undefined {
    if (this.#values <= 0) return undefined
    this.#values -= 1
    if (value === null || typeof value === "boolean") return value
    if (typeof value === "string") return this.#fits(value) ? value : undefined
    if (typeof value === "number") return Number.isFinite(value) ? value : null
    if (typeof value !== "object" || this.#ancestors.length > DEPTH_MAX || this.#ancestors.includes(value))
      return undefined
    this.#ancestors.push(value)
    const copy = Array.isArray(value) ? this.#ofList(value) : this.#ofObject(value)
    this.#ancestors.pop()
    return copy
  }

  /** Ends where the limit is reached: a list may be longer than anything that it holds. */
  #ofList(list: readonly unknown[]): JsonValue[] {
    const copy: JsonValue[] = []
    for (let index = 0; index < list.length && this.#values > 0; index++) copy.push(this.of(list[index]) ?? null)
    return copy
  }

  #ofObject(value: object): JsonValue | undefined {
    if (!isObject(value) || !isPlain(value)) return undefined
    const entries: [string, JsonValue][] = []
    for (const name of Object.keys(value)) {
      if (this.#values <= 0) break
      const item = this.of(value[name])
      if (item !== undefined && this.#fits(name)) entries.push([name, item])
    }
    return Object.fromEntries(entries)
  }

  #fits(text: string): boolean {
    if (text.length > this.#chars) return false
    this.#chars -= text.length
    return true
  }
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
