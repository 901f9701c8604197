/**
 * Members of JSON that are named like secrets, in its text: that may be cut, stand in events, or be no JSON at all. Pure,
 * and linear.
 */
import { Blanked, type Fill } from "./fill.ts"
import { isSecretName } from "./names.ts"

/** A member that is called like a field (with hyphens) stands in a map of fields. */
export function isSecretMember(name: string): boolean {
  return isSecretName(name, name.includes("-") ? "field" : "json")
}

/** Blanks out the strings behind secret names, and those of lists behind them. */
export function blankMembers(text: string, fill: Fill): string {
  const blanked = new Blanked(text, fill)
  for (let open = text.indexOf('"'); open >= 0; open = text.indexOf('"', open)) {
    const close = closeOf(text, open)
    const value = valueBehind(text, close + 1)
    const isSecret = value !== undefined && isSecretMember(text.slice(open + 1, close))
    open = close + 1
    for (let at = isSecret ? value : -1; at >= 0; at = nextInList(text, open)) {
      open = closeOf(text, at) + 1
      if (open - at > 2) blanked.blank(at + 1, open - 1)
    }
  }
  return blanked.toString()
}

/** Where the string that opens at `open` closes, or the end of the text. */
export function closeOf(text: string, open: number): number {
  for (let at = text.indexOf('"', open + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0
    while (text[at - 1 - escapes] === "\\") escapes++
    if (escapes % 2 === 0) return at
  }
  return text.length
}

/** Where the string begins that is the value of the name before `at`, or the first of a list that is. */
function valueBehind(text: string, at: number): number | undefined {
  const [opening] = stickyAt(/\s{0,64}:\s{0,64}(?:\[\s{0,64})?(?=")/y, text, at)
  return opening === undefined ? undefined : at + opening.length
}

/** Where the next string of a list begins; below 0: there is none. */
function nextInList(text: string, at: number): number {
  const [comma] = stickyAt(/\s{0,64},\s{0,64}(?=")/y, text, at)
  if (comma === undefined) return -1
  const next = at + comma.length
  // What has a colon behind it is the next member's name.
  return stickyAt(/\s{0,64}:/y, text, closeOf(text, next) + 1).length > 0 ? -1 : next
}

/** What a sticky expression finds at a place, with its groups; empty where it finds nothing. */
export function stickyAt(form: RegExp, text: string, at: number): readonly string[] {
  form.lastIndex = at
  return form.exec(text) ?? []
}
