/** The conformance table in mode `reverse`, with TLS to the client. */
import { test } from "tap"
import { runCell, TLS_PAIRS } from "./table.ts"
import { byReverse } from "./ways.ts"

for (const [client, upstream] of TLS_PAIRS)
  test(`reverse, ${client} over TLS to ${upstream} over TLS`, (t) =>
    runCell(t, { client, upstream, upstreamTls: true, way: (t, origin) => byReverse(t, origin, true, true) }))

for (const client of ["http/1.1", "h2"] as const)
  test(`reverse, ${client} over TLS to http/1.1 in clear`, (t) =>
    runCell(t, {
      client,
      upstream: "http/1.1",
      upstreamTls: false,
      way: (t, origin) => byReverse(t, origin, true, false),
    }))
