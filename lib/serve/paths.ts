/**
 * What a path means before it is compared: one reading, or none. A handler sees a URL, and the URL parser resolves dot
 * segments and backslashes; a path that says one thing to us and another to it would pass by the access of a route. Pure.
 */
import { percentDecoded } from "../base/percent.ts"

/** What two readers take for a separator, or not: an encoded slash, a backslash, an encoded one, NUL. */
const AMBIGUOUS = /%2f|%5c|%00|\\/i

/** The path of a request-target, without query and fragment. */
export function pathOf(target: string): string {
  const end = target.search(/[?#]/)
  return end < 0 ? target : target.slice(0, end)
}

/**
 * A path with its percent-encoding undone, once, as far as it can be: web frameworks undo that much too, so that an escape which
 * is none must not hide the ones beside it. Nothing else of the path changes.
 */
export function decoded(path: string): string {
  return path.includes("%") ? percentDecoded(path) : path
}

/** Whether every percent sign begins an escape, and the escapes are a text. */
function isEncoded(path: string): boolean {
  if (!path.includes("%")) return true
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}

/** The URL that a handler gets; undefined where it would name another path than the one that was asked for. */
export function urlOf(origin: string, target: string): URL | undefined {
  const path = pathOf(target)
  if (!path.startsWith("/") || AMBIGUOUS.test(path) || !isEncoded(path)) return undefined
  const url = URL.canParse(origin + target) ? new URL(origin + target) : undefined
  return url !== undefined && decoded(url.pathname) === decoded(path) ? url : undefined
}

/** Whether the path of a request-target has one reading. */
export function isClear(target: string): boolean {
  return urlOf("http://localhost", target) !== undefined
}
