/** Whose session it is, and which. Pure. */
import { type ClientInfo, isLoopbackHost } from "llmproxy"

/** Characters of a session's id. */
const ID_CHARS_MAX = 200
export const ID_RULE = `must be an integer, or a text of 1 to ${ID_CHARS_MAX} characters`
/** Whoever has the master key; and whoever is on this machine, where nobody asks for keys. */
export const NOBODY = "master"

/** An id as it is kept: 7 and "7" are one. Undefined: it is none. */
export function idOf(value: unknown): string | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) ? String(value) : undefined
  if (typeof value !== "string" || value.length < 1 || value.length > ID_CHARS_MAX || value.includes("\0"))
    return undefined
  return value
}

/** Undefined: from another machine, and nobody has named it. */
export function ownerOf({ user, address }: Pick<ClientInfo, "user" | "address">): string | undefined {
  return user ?? (isLoopbackHost(address) ? NOBODY : undefined)
}
