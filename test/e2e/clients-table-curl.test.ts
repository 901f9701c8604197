/** The rows of curl, wget and git in the README's table of clients. */

import { test } from "tap"
import { testRow } from "../helpers/clients/client-cells.ts"
import { missing } from "../helpers/command-process.ts"

const OWN = "https://api.openai.com"

const CLIENTS = {
  curl: (base = OWN) => ["curl", "-sSf", `${base}/v1/models`],
  wget: (base = OWN) => ["wget", "-nv", "-t1", "-O-", `${base}/v1/models`],
  git: (base = OWN) => ["git", "ls-remote", `${base}/repository.git`],
} as const

for (const name of ["curl", "wget", "git"] as const) {
  const skip = missing(name)
  if (skip) test(`${name}: its row of the table`, { skip }, async () => {})
  else testRow(name, CLIENTS[name])
}
