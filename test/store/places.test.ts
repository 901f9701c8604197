/** Where a database is, by one text. */
import { join } from "node:path"
import { test } from "tap"
import { placesIn } from "../../lib/store/places.ts"

test("a server's URL is one place for both, and a confdir has a file for each", (t) => {
  for (const url of ["postgres://ann@db/llmproxy", "PostgreSQL://db"])
    t.same(placesIn(url), { historyFile: url, stateFile: url })
  t.same(placesIn("conf"), { historyFile: join("conf", "history.db"), stateFile: join("conf", "state.db") })
  t.end()
})
