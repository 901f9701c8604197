/**
 * Whether the text of a JSON object names a member more than once. Servers differ in which of two counts, and some (Go's
 * encoding/json, so Ollama) take "Model" for "model": what was compared with a key's scope must be what is asked for. Pure.
 */

const [QUOTE, BACKSLASH, COMMA, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST] = Array.from('"\\,{}[]', (one) => one.charCodeAt(0))

/** `text` is JSON that somebody has parsed; `name` is in lower case. In one pass. */
export function isNamedTwice(text: string, name: string): boolean {
  let depth = 0
  let isName = false
  let count = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      const end = endOfString(text, at)
      if (isName && depth === 1 && nameIn(text.slice(at, end + 1)) === name && ++count > 1) return true
      isName = false
      at = end
    } else if (code === OPEN) isName = ++depth === 1
    else if (code === OPEN_LIST) {
      if (++depth === 1) return false
    } else if (code === CLOSE || code === CLOSE_LIST) depth--
    else if (code === COMMA) isName = depth === 1
  }
  return false
}

/** Where the string that begins at `from` has its closing quote; the end of the text where it has none. */
function endOfString(text: string, from: number): number {
  for (let end = text.indexOf('"', from + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++
    if (escapes % 2 === 0) return end
  }
  return text.length
}

function nameIn(literal: string): string | undefined {
  try {
    return String(JSON.parse(literal)).toLowerCase()
  } catch {
    return undefined
  }
}
