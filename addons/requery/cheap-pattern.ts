/**
 * Regular expressions that a client's schema brings, run only where they cannot take long. Without a repeat over a group,
 * a text of n characters costs at most the pattern's length, written out, times the ways through its alternatives, times
 * n + 1 to the power of the repeats (and one, unless it is tied to the beginning), whatever it holds: alternatives that
 * begin alike are all tried.
 */

/** Characters of a pattern that is read, and of a number of times that it names. */
const PATTERN_CHARS_MAX = 500
const TIMES_DIGITS_MAX = 3
/** Steps that one test may take: some tens of milliseconds. */
const STEPS_MAX = 10_000_000

/**
 * Undefined: the pattern is none, or may take too long on some text. The test says undefined for a text too long. `spend`
 * hears before each test of the steps that it may take, and may throw.
 */
export function cheapPattern(
  pattern: string,
  spend: (steps: number) => void = () => {},
): ((text: string) => boolean | undefined) | undefined {
  const size = sizeOf(pattern)
  if (size === undefined) return undefined
  const steps = size.ways * size.length
  if (steps > STEPS_MAX) return undefined
  const expression = compiled(pattern)
  if (expression === undefined) return undefined
  // From every character on, unless it is tied to the first; each repeat may end at any.
  const power = size.isTied ? size.repeats : size.repeats + 1
  return (text) => {
    const most = (text.length + 1) ** power * steps + text.length
    if (most > STEPS_MAX) return undefined
    spend(most)
    return expression.test(text)
  }
}

function compiled(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern, "u")
  } catch {
    return undefined
  }
}

interface Size {
  /** Whether it can match at a text's beginning alone. */
  readonly isTied: boolean
  /** Parts that repeat a varying number of times. */
  readonly repeats: number
  /** Ways through the alternatives. */
  readonly ways: number
  /** Parts to match, with what repeats a number of times written out. */
  readonly length: number
}

/** Undefined where a group repeats, something looks around, or the pattern is too long. */
function sizeOf(pattern: string): Size | undefined {
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
  const writtenOut = times.reduce((sum, [, least, , most]) => sum + Math.max(Number(least), Number(most)), 0)
  return {
    isTied: /^\^[^|]*$/.test(plain),
    repeats: varying + (plain.match(/[*+]|(?<![*+?}])\?/g)?.length ?? 0),
    ways: waysThrough(plain),
    length: plain.length + writtenOut,
  }
}

/** Of alternatives one is taken, so their ways add up; what follows another is taken with each of its ways. */
function waysThrough(plain: string): number {
  let group = { before: 0, here: 1 }
  const around: (typeof group)[] = []
  for (const character of plain) {
    if (character === "|") group = { before: group.before + group.here, here: 1 }
    else if (character === "(") {
      around.push(group)
      group = { before: 0, here: 1 }
    } else if (character === ")") {
      const { before, here } = around.pop() ?? { before: 0, here: 1 } // Else it is no pattern, as compiling it tells.
      group = { before, here: here * (group.before + group.here) }
    }
  }
  return group.before + group.here
}
