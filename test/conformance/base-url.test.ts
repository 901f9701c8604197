/** The conformance table at the base-URL door. */
import { test } from "tap"
import { runCell, TLS_PAIRS } from "./table.ts"
import { byBaseUrl } from "./ways.ts"

for (const [client, upstream] of TLS_PAIRS)
  test(`base URL, ${client} in clear to ${upstream} over TLS`, (t) =>
    runCell(t, { client, upstream, upstreamTls: true, way: (t, origin) => byBaseUrl(t, origin, true) }))
