/** The conformance table in mode `regular`: CONNECT and absolute-form. */
import { test } from "tap"
import { CLEAR_PAIRS, runCell, TLS_PAIRS } from "./table.ts"
import { byAbsoluteForm, byConnect } from "./ways.ts"

for (const [client, upstream] of TLS_PAIRS)
  test(`CONNECT, TLS, ${client} to ${upstream}`, (t) =>
    runCell(t, { client, upstream, upstreamTls: true, way: (t, origin) => byConnect(t, origin, true) }))

for (const [client, upstream] of CLEAR_PAIRS)
  test(`CONNECT, in clear, ${client} to ${upstream}`, (t) =>
    runCell(t, { client, upstream, upstreamTls: false, way: (t, origin) => byConnect(t, origin, false) }))

test("absolute-form, http/1.1 to http/1.1", (t) =>
  runCell(t, { client: "http/1.1", upstream: "http/1.1", upstreamTls: false, way: byAbsoluteForm }))
