/** The conformance table in mode `upstream`, with a SOCKS5 proxy on the way. */
import { test } from "tap"
import { CLEAR_PAIRS, runCell, TLS_PAIRS } from "./table.ts"
import { byUpstream } from "./ways.ts"

for (const [client, upstream] of TLS_PAIRS)
  test(`upstream:socks5, TLS, ${client} to ${upstream}`, (t) =>
    runCell(t, { client, upstream, upstreamTls: true, way: (t, origin) => byUpstream(t, origin, true, "socks5") }))

for (const [client, upstream] of CLEAR_PAIRS)
  test(`upstream:socks5, in clear, ${client} to ${upstream}`, (t) =>
    runCell(t, { client, upstream, upstreamTls: false, way: (t, origin) => byUpstream(t, origin, false, "socks5") }))
