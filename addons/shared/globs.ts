/** Patterns of names, as people write them for models. Pure. */

/** Whole names, in any case; `*` is any text, also none. Linear: a pattern is no regular expression here. */
export function isLike(name: string, pattern: string): boolean {
  const text = name.toLowerCase()
  const [first = "", ...rest] = pattern.toLowerCase().split("*")
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
