/**
 * The floor that the benchmark compares with: a relay in Node that ends TLS on both sides and copies bytes, reading
 * nothing. Takes CONNECT like the proxies do. Prints its port on stdout; ends with its parent.
 */
import { readFileSync } from "node:fs"
import { createServer } from "node:net"
import { connect, createSecureContext, TLSSocket } from "node:tls"

const [certFile = "", keyFile = "", caFile = "", originPort = "0", alpn = "http/1.1"] = process.argv.slice(2)
const serverContext = createSecureContext({ key: readFileSync(keyFile), cert: readFileSync(certFile) })
const clientContext = createSecureContext({ ca: readFileSync(caFile) })

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy())
  socket.once("data", () => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n")
    const client = new TLSSocket(socket, { isServer: true, secureContext: serverContext, ALPNProtocols: [alpn] })
    const upstream = connect({
      port: Number(originPort),
      host: "127.0.0.1",
      servername: "localhost",
      secureContext: clientContext,
      ALPNProtocols: [alpn],
    })
    upstream.setNoDelay(true)
    client.pipe(upstream)
    upstream.pipe(client)
    for (const [side, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      side.on("error", () => other.destroy())
      side.on("close", () => other.destroy())
    }
  })
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object" && address !== null) process.stdout.write(`${address.port}\n`)
})
process.stdin.resume().on("end", () => process.exit(0))
