/**
 * Regular expressions that a client's schema brings, run only where they cannot take long: without a repeat over a
 * group, a text of n characters costs n steps to the power of the repeats and one, whatever it holds.
 */

/** Characters of a pattern that is read, and of a number of times that it names. */
const PATTERN_CHARS_MAX = 500
const TIMES_DIGITS_MAX = 3
/** Steps that one test may take: some tens of milliseconds. */
const STEPS_MAX = 10_000_000

/** Undefined: the pattern is none, or may take too long on some text. The test says undefined for a text too long. */
export function cheapPattern(pattern: string): ((text: string) => boolean | undefined) | undefined {
  const repeats = repeatsIn(pattern)
  if (repeats === undefined) return undefined
  const expression = compiled(pattern)
  if (expression === undefined) return undefined
  // From every character on, unless it is tied to the first; each repeat may end at any.
  const power = repeats + 1
  return (text) => ((text.length + 1) ** power * pattern.length > STEPS_MAX ? undefined : expression.test(text))
}

function compiled(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern, "u")
  } catch {
    return undefined
  }
}

/** How many parts may repeat a varying number of times; undefined where a group repeats, or something looks around. */
function repeatsIn(pattern: string): number | undefined {
  if (pattern.length > PATTERN_CHARS_MAX) return undefined
  const plain = pattern
    .replace(/\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|[^1-9k])/g, "a")
    .replace(/\[[^\]]*\]/g, "a")
    .replace(/\(\?:/g, "(")
  // References, looking around, named groups; groups that repeat; times beyond counting.
  if (/\\|\(\?|\)[*+?{]/.test(plain)) return undefined
  const times = [...plain.matchAll(/\{(\d*)(,?)(\d*)\}/g)]
  if (times.some(([, least = "", , most = ""]) => Math.max(least.length, most.length) > TIMES_DIGITS_MAX))
    return undefined
  const varying = times.filter(([, , comma]) => comma === ",").length
  return varying + (plain.match(/[*+]|(?<![*+?}])\?/g)?.length ?? 0)
}
