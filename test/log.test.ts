import { test } from "tap"
import { makeLogger, printable } from "../lib/log.ts"
import { Redactor } from "../lib/secrets.ts"

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
