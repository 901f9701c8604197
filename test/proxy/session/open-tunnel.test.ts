import { createServer, type TLSSocket } from "node:tls"
import { test } from "tap"
import { everythingTo, sharedCertificates, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

test("bytes that are relayed unseen inside TLS offer the upstream what the client's handshake agreed on", async (t) => {
  const certificates = await sharedCertificates()
  const offered: unknown[] = []
  const sockets: TLSSocket[] = []
  const server = createServer(
    { ...certificates.chainFor("a.test"), ALPNProtocols: ["h2", "http/1.1"], allowHalfOpen: false },
    (socket) => {
      offered.push(socket.alpnProtocol)
      sockets.push(socket)
      socket.on("error", () => {})
      socket.write("seen")
    },
  )
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const proxy = await startProxy(t, { settings: everythingTo({ port }) })
  for (const alpn of [undefined, "http/1.1"]) {
    const tunnel = await Wire.tunnel(proxy.port, "a.test:443")
    const ALPNProtocols = alpn === undefined ? {} : { ALPNProtocols: [alpn] }
    const wire = await tunnel.secure({ ca: certificates.ca, servername: "a.test", ...ALPNProtocols })
    wire.write("\0opaque")
    await wire.until("seen")
    wire.socket.destroy()
    await wire.closed
  }
  t.same(offered, [false, "http/1.1"])
})
