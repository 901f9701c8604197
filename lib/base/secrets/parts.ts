/**
 * Parts of multipart/form-data (RFC 7578) that are named like secrets, in a body's text: that may be cut, be labelled as
 * something else, or stand in a part of another one. Pure, and linear.
 */
import { percentDecoded } from "../percent.ts"
import { Blanked, type Fill } from "./fill.ts"
import { isSecretName } from "./names.ts"

/** The field that says what a part is; what follows are its parameters. */
const DISPOSITION = /^content-disposition[ \t]{0,16}:[ \t]{0,16}form-data(?=[\s;])/gim
const HEAD_END = /\r?\n\r?\n/g
/** A field may be folded over lines that begin with a space. */
const FIELD_END = /\r?\n(?![ \t])/
/** Quoted, or not. RFC 7578 knows no `name*` (RFC 5987); some write it. */
const NAME = /;\s{0,16}name(\*?)\s{0,16}=\s{0,16}(?:"((?:\\.|[^"\\]){0,256})|([^;\s"]{1,256}))/gi

/** The text without the values of parts that are named like secrets. */
export function blankParts(text: string, fill: Fill): string {
  const blanked = new Blanked(text, fill)
  let boundary: string | undefined
  let from = 0
  DISPOSITION.lastIndex = 0
  for (let found = DISPOSITION.exec(text); found !== null; found = DISPOSITION.exec(text)) {
    boundary = lastBoundary(text.slice(from, found.index)) ?? boundary
    HEAD_END.lastIndex = DISPOSITION.lastIndex
    const head = HEAD_END.exec(text)
    if (head === null) break
    const [field = ""] = text.slice(DISPOSITION.lastIndex, head.index).split(FIELD_END, 1)
    from = HEAD_END.lastIndex
    if (isSecretPart(field)) {
      const end = endOfValue(text, from, boundary)
      if (end > from) blanked.blank(from, end)
      from = Math.max(from, end)
    }
    DISPOSITION.lastIndex = from
  }
  return blanked.toString()
}

/** The line between two parts, of which the second's head begins here. */
function lastBoundary(before: string): string | undefined {
  const line = before.lastIndexOf("\n--")
  if (line < 0 && !before.startsWith("--")) return undefined
  const [boundary] = before.slice(line + 1).split(/[ \t]*\r?\n/, 1)
  return boundary
}

function isSecretPart(field: string): boolean {
  for (const [, isExtended, quoted, token = ""] of field.matchAll(NAME)) {
    const name = percentDecoded(quoted?.replace(/\\(.)/g, "$1") ?? token)
    if (isSecretName(isExtended === "*" ? name.replace(/^[^']*'[^']*'/, "") : name, "field")) return true
  }
  return false
}

/** Before the line break that belongs to the boundary; the text's end where none follows. */
function endOfValue(text: string, start: number, boundary: string | undefined): number {
  const line = boundary === undefined ? -1 : text.indexOf(`\n${boundary}`, start - 1)
  if (line < 0) return text.length
  return text[line - 1] === "\r" ? line - 1 : line
}
