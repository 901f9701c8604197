/** The rows of Python's clients in the README's table. The interpreter: see test/helpers/clients/python.ts. */
import { test } from "tap"
import { fixture } from "../helpers/clients/chat-clients.ts"
import { testRow } from "../helpers/clients/client-cells.ts"
import { interpreterWith, noInterpreter } from "../helpers/clients/python.ts"

const MODULES = { urllib: "urllib.request", requests: "requests", httpx: "httpx", openai: "openai" }

for (const client of ["urllib", "requests", "httpx", "openai"] as const) {
  const python = interpreterWith(MODULES[client])
  const skip = python === undefined && noInterpreter(MODULES[client])
  if (python === undefined) test(`Python ${client}: its row of the table`, { skip }, async () => {})
  // Without -B, Python would write its cache beside the fixtures.
  else testRow(`Python ${client}`, (base) => [python, "-B", fixture("one_call.py"), client, ...(base ? [base] : [])])
}
