/** Secrets in pieces: which pieces make one text, in texts that people read, that were made to be slow, or that are broken. */
import { test } from "tap"
import { blankPieces } from "../../../lib/base/secrets/pieces.ts"
import { Redactor } from "../../../lib/base/secrets/redactor.ts"
import { mask } from "../../../lib/base/secrets/views.ts"
import { steepGrowth } from "../../helpers/growth.ts"

const SECRET = "one-two"
const isMade = (text: string) => text !== blanked(text)

/** `text` with a star for each character of the secret that its pieces make. */
function blanked(text: string): string {
  const masked = (joined: string) => joined.replaceAll(SECRET, mask(SECRET.length))
  return blankPieces(text, masked, (chars) => "*".repeat(chars))
}

test("pieces that stand in the same place of several values are one text", async (t) => {
  for (const text of [
    '{"t":"one-"}\n{"t":"two"}\n',
    '{"t":"one-"}{"t":"two"}',
    '{"t":"one-"},{"t":"two"}',
    '[{"t":"one-"},{"t":"two"}]',
    '["one-","two"]',
    '["one-"]\n["two"]',
    'data: {"t":"one-"}\n\ndata: {"t":"two"}\n\n',
    'data: {"t":"one-"}\r\n\r\ndata: {"t":\ndata: "two"}\r\n\r\n',
    'event: x\nerror: {"t":"one-"}\n\n: ping\n\ndata: {"t" : "two"}\n\n',
    // Whatever else they have, and in any order.
    '{"t":"one-"}\n{"a":1,"b":{"t":"x"},"t":"two"}\n',
    '{"a":[],"b":{"c":[{}]},"t":"one-"}\n{"t":"","u":"x"}\n{"t":"two"}\n',
    '{"a":{"t":"one-"}}\n{"a":{"t":"two"}}\n',
    // The elements of a list share its place.
    '{"t":"one-"}\n{"t":["two"]}\n',
    '{"t":["one-"]}\n{"t":[[],["two"]]}\n',
    '{"t":[{"a":"one-"},{"a":"two"}]}',
  ])
    t.equal(blanked(text), text.replace("one-", "****").replace("two", "***"))
})

test("pieces in other places are other texts, and so are those that belong to other numbers", async (t) => {
  for (const text of [
    '{"a":"one-"}\n{"b":"two"}\n',
    '{"one-":1}\n{"two":1}\n',
    '{"a":{"t":"one-"}}\n{"t":"two"}\n',
    '{"a":{"t":"one-"}}\n{"b":{"t":"two"}}\n',
    '{"t":["one-",{"a":"two"}]}',
    '{"index":0,"t":"one-"}\n{"index":1,"t":"two"}\n',
    '{"t":"one-","index":0}\n{"t":"two","index":1}\n',
    '{"output_index" : 1,"t":{"t":"one-"}}\n{"output_index" : 2,"t":{"t":"two"}}\n',
    '{"t":"one-","index":0}\n{"t":"two"}\n',
  ])
    t.equal(blanked(text), text)
  const choices = [
    '{"choices":[{"index":0,"t":"x one-"},{"index":1,"t":"one-"}]}\n',
    '{"choices":[{"t":"two","index":1},{"t":"two x","index":0}]}\n',
  ].join("")
  t.equal(blanked(choices), choices.replaceAll("one-", "****").replaceAll("two", "***"))
})

test("fields of plain text are one text", async (t) => {
  for (const text of [
    "data: one-\n\ndata: two\n\n",
    "data:one-\r\rdata:\ttwo",
    "data: {} one-\n\nerror: two\n\n",
    'data: {"a":"x"} one-\n\ndata: two\n\n',
    '{"a":"x"}\n\ndata: one-\n\ndata: two\n\n',
  ])
    t.equal(blanked(text), text.replace("one-", "****").replace("two", "***"))
  for (const text of ["one-\n\ndata: two\n\n", "data: one-\ntwo\n\n", "data: one-\n\nid: two\n\n", "one-\ntwo"])
    t.equal(blanked(text), text)
})

test("escapes are those of JSON in its strings, and no escapes in plain text", async (t) => {
  t.equal(blanked('{"t":"\\u006fne-"}\n{"t":"t\\wo\\n"}\n'), '{"t":"*********"}\n{"t":"****\\n"}\n')
  t.equal(blanked("data: \\none-\n\ndata: two\\n\n\n"), "data: \\n****\n\ndata: ***\\n\n\n")
  t.notOk(isMade("data: one-\n\ndata: t\\wo\n\n"))
})

test("places are told apart in so many levels, and by so many characters of a name and of numbers", async (t) => {
  const nested = (depth: number, text: string) => `${'{"a":'.repeat(depth)}{"t":"${text}"}${"}".repeat(depth)}\n`
  t.notOk(isMade(nested(62, "one-") + nested(63, "two")))
  t.ok(isMade(nested(63, "one-") + nested(70, "two")), "what is deeper counts as the last level")
  // Behind what was deeper, places are what they were.
  t.ok(isMade(`{"t":"one-"}\n{"a":${nested(200, "x")},"t":"two"}\n`))

  const named = (chars: number) => ["one-", "two"].map((text, at) => `{"${"n".repeat(chars - 1)}${at}":"${text}"}\n`)
  t.notOk(isMade(named(256).join("")))
  t.ok(isMade(named(257).join("")))

  // A number has its name before it and a space behind it.
  const numbered = (chars: number) =>
    ["one-", "two"].map((text, at) => `{"${"n".repeat(chars - 7)}index":1,"index":${at},"t":"${text}"}\n`)
  t.notOk(isMade(numbered(127).join("")))
  t.ok(isMade(numbered(128).join("")))
})

test("a secret in pieces is found below any depth, and in values that nobody has closed", async (t) => {
  const redactor = new Redactor()
  redactor.know(["of only plain words"])
  for (const depth of [1, 63, 64, 65, 200]) {
    const values = ["so of only", " plain words it is"].map(
      (text) => `${'{"a":'.repeat(depth)}{"t":"${text}"}${"}".repeat(depth)}\n`,
    )
    t.equal(
      redactor.wire(values.join("")),
      values.join("").replace("of only", "***").replace(" plain words", "***"),
      `${depth}`,
    )
  }
  const broken = 'data: {"t":"so of only\n\ndata: {"t":" plain words it is"}\n\n'
  t.notMatch(redactor.wire(broken), / only|plain/)
})

test("values that open at every other character cost no more than their length", async (t) => {
  const redactor = new Redactor()
  for (const unit of [
    '{"a":"',
    '{"index":1,"a":',
    '"a":{"b":"x"},',
    "[",
    "data: {}",
    '"index":1,"t":"x",',
    '","index":1,"t":"x',
    'data: "\n\n',
    'data: {"a":"\n\n',
    "\\\\",
  ]) {
    const steep = steepGrowth(20_000, (chars) => {
      const text = `{"x": "${unit.repeat(chars / unit.length)}x`
      return () => redactor.wire(text)
    })
    t.equal(steep, undefined, JSON.stringify(unit))
  }
})
