/** The control of the conformance table: its client and its origin agree with each other, with nothing between. */
import { connect } from "node:net"
import { test } from "tap"
import { sharedCertificates } from "../helpers/test-proxy.ts"
import type { Protocol } from "./origin.ts"
import { runCell } from "./table.ts"

const PROTOCOLS: readonly Protocol[] = ["http/1.1", "h2"]

for (const protocol of PROTOCOLS)
  for (const tls of [true, false])
    test(`${protocol}${tls ? " over TLS" : ""}, nothing between`, async (t) => {
      const { ca } = await sharedCertificates()
      await runCell(t, {
        client: protocol,
        upstream: protocol,
        upstreamTls: tls,
        proxied: false,
        way: async (_, { port }) => ({
          authority: `localhost:${port}`,
          tls: tls ? { ca, name: "localhost" } : undefined,
          target: (path) => path,
          open: async () => {
            const socket = connect({ port, host: "127.0.0.1", noDelay: true })
            socket.on("error", () => {})
            await new Promise((resolve) => socket.once("connect", resolve))
            return socket
          },
        }),
      })
    })
