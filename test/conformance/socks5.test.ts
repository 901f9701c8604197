/** The conformance table in mode `socks5`. */
import { test } from "tap"
import { CLEAR_PAIRS, runCell, TLS_PAIRS } from "./table.ts"
import { bySocks } from "./ways.ts"

for (const [client, upstream] of TLS_PAIRS)
  test(`socks5, TLS, ${client} to ${upstream}`, (t) =>
    runCell(t, { client, upstream, upstreamTls: true, way: (t, origin) => bySocks(t, origin, true) }))

for (const [client, upstream] of CLEAR_PAIRS)
  test(`socks5, in clear, ${client} to ${upstream}`, (t) =>
    runCell(t, { client, upstream, upstreamTls: false, way: (t, origin) => bySocks(t, origin, false) }))
