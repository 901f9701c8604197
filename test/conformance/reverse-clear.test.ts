/** The conformance table in mode `reverse`, in clear to the client. */
import { test } from "tap"
import { CLEAR_PAIRS, runCell, TLS_PAIRS } from "./table.ts"
import { byReverse } from "./ways.ts"

for (const [client, upstream] of TLS_PAIRS)
  test(`reverse, ${client} in clear to ${upstream} over TLS`, (t) =>
    runCell(t, { client, upstream, upstreamTls: true, way: (t, origin) => byReverse(t, origin, false, true) }))

for (const [client, upstream] of CLEAR_PAIRS)
  test(`reverse, ${client} to ${upstream}, in clear`, (t) =>
    runCell(t, { client, upstream, upstreamTls: false, way: (t, origin) => byReverse(t, origin, false, false) }))
