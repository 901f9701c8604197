/** The conformance table in mode `transparent`. */
import { test } from "tap"
import { CLEAR_PAIRS, runCell, TLS_PAIRS } from "./table.ts"
import { byTransparent } from "./ways.ts"

for (const [client, upstream] of TLS_PAIRS)
  test(`transparent, TLS, ${client} to ${upstream}`, (t) =>
    runCell(t, { client, upstream, upstreamTls: true, way: (t, origin) => byTransparent(t, origin, true) }))

for (const [client, upstream] of CLEAR_PAIRS)
  test(`transparent, in clear, ${client} to ${upstream}`, (t) =>
    runCell(t, { client, upstream, upstreamTls: false, way: (t, origin) => byTransparent(t, origin, false) }))
