/** Secrets in pieces of texts that were made to be slow, or are none that anybody reads. */
import { test } from "tap"
import { Redactor } from "../../../lib/base/secrets/redactor.ts"

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

/** The least CPU time of three runs, milliseconds. */
function cost(work: () => void): number {
  const times = Array.from({ length: 3 }, () => {
    const begin = process.cpuUsage()
    work()
    return process.cpuUsage(begin).user / 1_000
  })
  return Math.min(...times)
}

test("values that open at every other character cost at most eight times a quarter of them", async (t) => {
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
    const [small = "", large = ""] = [50_000, 200_000].map((chars) => `{"x": "${unit.repeat(chars / unit.length)}x`)
    // Below this the clock and the collector decide.
    const ratio =
      cost(() => redactor.wire(large)) /
      Math.max(
        15,
        cost(() => redactor.wire(small)),
      )
    t.ok(ratio <= 8, `${JSON.stringify(unit)}: ${ratio.toFixed(1)}`)
  }
})
