import { test } from "tap"
import { makeLogger, printable, printableLines } from "../../lib/base/log.ts"
import { Redactor } from "../../lib/base/secrets/redactor.ts"

test("messages below the level are dropped, the others carry theirs", (t) => {
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level}: ${line}`), "warn")
  log.debug("a")
  log.info("b")
  log.warn("c")
  log.error("d")
  t.same(lines, ["warn: c", "error: d"])
  const all: string[] = []
  makeLogger((line) => all.push(line)).info("by default")
  makeLogger((line) => all.push(line)).debug("not this")
  t.same(all, ["by default"])
  t.end()
})

test("what comes from outside cannot steer a terminal, and a message is one line", (t) => {
  t.equal(printable("a\tb\n\nc"), "a b c")
  t.equal(printable("\x1b[31m\r\x00\x7f\x9b"), "\\x1b[31m\\x0d\\x00\\x7f\\x9b")
  t.equal(printable("\u202eevil\u2066"), "\\x202eevil\\x2066")
  t.equal(printable("d\u00e9j\u00e0 \u4f60"), "d\u00e9j\u00e0 \u4f60")
  t.end()
})

test("what is not seen does not reach a terminal: every format character, filler, tag and separator", (t) => {
  const named = [0x61c, 0x2028, 0x2029, 0x200b, 0x200c, 0x200d, 0x2060, 0xfeff, 0xad, 0x180e, 0x34f, 0x115f, 0x3164]
  const tags = [0xe0001, 0xe0041, 0xe007f, 0xe0100, 0xfe0f, 0x1d173, 0xfff9, 0x85, 0xd800, 0xdc00]
  for (const code of [...named, ...tags])
    t.equal(printable(`a${String.fromCodePoint(code)}b`), `a\\x${code.toString(16)}b`)
  let shown = 0
  const unseen = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u
  for (let code = 0; code <= 0x10ffff; code++) {
    const char = String.fromCodePoint(code)
    // What is private or not assigned has a box or a picture of its own.
    if (!unseen.test(char) || /[\p{Co}\p{Cn}]/u.test(char)) continue
    if (printable(char) === char) shown += 1
  }
  t.equal(shown, 0)
  t.equal(printable("你好 héllo 😀 ñ ẞ"), "你好 héllo 😀 ñ ẞ")
  t.equal(printableLines("a\u2028b\r\nc\u202e"), "a\\x2028b\\x0d\nc\\x202e")
  t.end()
})

test("a message carries no secret, neither a form that is known nor one of the program's own", (t) => {
  const redactor = new Redactor()
  redactor.know(["correct-horse-battery"])
  const lines: string[] = []
  const log = makeLogger((line) => lines.push(line), "info", redactor)
  log.info("sk-abcdefghijkl12345678\nnext")
  log.warn("the host says: correct-horse-battery is no key")
  t.same(lines, ["sk-*** next", "the host says: *** is no key"])
  t.end()
})
