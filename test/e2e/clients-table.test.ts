/** The table of clients in docs/clients.md says what the tests of each client have seen, and nothing else. */
import { readFileSync } from "node:fs"
import { test } from "tap"
import { ROWS, rowText } from "../helpers/clients/client-rows.ts"

test("the table of clients holds the rows that are tested, in their order", (t) => {
  const section = /^## What each client does\n([\s\S]*)/m.exec(readFileSync("docs/clients.md", "utf8"))?.[1] ?? ""
  const lines = section.split("\n").filter((line) => line.startsWith("|") && line !== "")
  t.same(
    lines.slice(2),
    Object.entries(ROWS).map(([name, row]) => rowText(name, row)),
  )
  t.end()
})
