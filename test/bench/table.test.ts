/** What a run of the benchmark prints of a row. */
import { test } from "tap"
import { mediansOf, printRow } from "./table.ts"

test("each round is printed, and a figure that moves too much between them says so", async (t) => {
  const rounds = { llmproxy: [40, 41, 39], relay: [20, 26, 21] }
  const values = mediansOf(rounds)
  t.same(values, { llmproxy: 40, relay: 21 })
  const text = printRow({ work: "a request", unit: "CPU us", values, rounds, goals: [], errors: 0 })
  t.equal(
    text,
    [
      "a request [CPU us]",
      "  llmproxy 40.0   relay 21.0",
      "  rounds   llmproxy 40.0 41.0 39.0   relay 20.0 26.0 21.0",
      "  UNSTEADY relay moved by 29 % between rounds",
    ].join("\n"),
  )
})
