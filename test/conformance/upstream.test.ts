/** The conformance table in mode `upstream`: another proxy on the way, HTTP or SOCKS5. */
import { test } from "tap"
import { CLEAR_PAIRS, runCell, TLS_PAIRS } from "./table.ts"
import { byUpstream } from "./ways.ts"

for (const next of ["http", "socks5"] as const) {
  for (const [client, upstream] of TLS_PAIRS)
    test(`upstream:${next}, TLS, ${client} to ${upstream}`, (t) =>
      runCell(t, { client, upstream, upstreamTls: true, way: (t, origin) => byUpstream(t, origin, true, next) }))

  for (const [client, upstream] of CLEAR_PAIRS)
    test(`upstream:${next}, in clear, ${client} to ${upstream}`, (t) =>
      runCell(t, { client, upstream, upstreamTls: false, way: (t, origin) => byUpstream(t, origin, false, next) }))
}
