/** Patterns of names, as people write them for models. Pure. */

/**
 * Whole names; `*` is any text, also none. `cases`: models are called alike in any, what a key may do is as it is written. Linear: a
 * pattern is no regular expression here.
 */
export function isLike(name: string, pattern: string, cases: "any" | "as written" = "any"): boolean {
  const text = cases === "any" ? name.toLowerCase() : name
  const [first = "", ...rest] = (cases === "any" ? pattern.toLowerCase() : pattern).split("*")
  if (rest.length === 0) return text === first
  if (!text.startsWith(first)) return false
  const last = rest.pop() ?? ""
  let at = first.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}
