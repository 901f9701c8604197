/**
 * What a model says, without what it thinks: reasoning models write <think>…</think> before their answer, and some
 * hosts swallow the first of the two marks.
 */

const OPEN = /^\s*<think(?:ing)?>/
const CLOSE = /<\/think(?:ing)?>/

/** The text without its thoughts; "" for thoughts that have not ended. */
export function spoken(text: string): string {
  const close = CLOSE.exec(text)
  const isThinking = OPEN.test(text)
  if (close === null) return isThinking ? "" : text
  const before = text.slice(0, close.index)
  // Without the first mark, the last one counts only where it stands alone on its line.
  if (!isThinking && (before.includes("<think") || !endsInBlankLine(before))) return text
  return text.slice(close.index + close[0].length)
}

function endsInBlankLine(text: string): boolean {
  return text.slice(text.lastIndexOf("\n") + 1).trim() === ""
}

/** Whether a text has thoughts that have not ended. */
export function isThinking(text: string): boolean {
  return OPEN.test(text) && !CLOSE.test(text)
}
