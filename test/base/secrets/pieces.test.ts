/** Secrets in pieces of texts that were made to be slow, or are none that anybody reads. */
import { test } from "tap"
import { Redactor } from "../../../lib/base/secrets/redactor.ts"
import { steepGrowth } from "../../helpers/growth.ts"

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
