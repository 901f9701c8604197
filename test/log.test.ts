import { test } from "tap"
import { blankSecrets, makeLogger, printable } from "../lib/log.ts"

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

test("what looks like a credential is blanked out", (t) => {
  const cases: readonly [string, string][] = [
    ["key sk-proj-abcdefgh12345", "key sk-***"],
    ["Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"],
    ["basic dXNlcjpwYXNz", "basic ***"],
    ["/v1?api_key=abc&x=1", "/v1?api_key=***&x=1"],
    ["/v1?key=abc def", "/v1?key=*** def"],
    ["http://user:secret@proxy.test:1/", "http://user:***@proxy.test:1/"],
    ["a task-force at risk-level", "a task-force at risk-level"],
  ]
  for (const [text, blanked] of cases) t.equal(blankSecrets(text), blanked)
  const lines: string[] = []
  makeLogger((line) => lines.push(line)).info("sk-abcdefghijkl\nnext")
  t.same(lines, ["sk-*** next"])
  t.end()
})
