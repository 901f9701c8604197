/** Our own connections that a packet filter leads back to us, and hosts as the first bytes of a request name them. */
import { connect, createServer, type Socket } from "node:net"
import { test } from "tap"
import { ClientConnection } from "../../../lib/proxy/session/client-connection.ts"
import { checkRedirected, firstHost } from "../../../lib/proxy/session/redirected.ts"
import { SelfGuard } from "../../../lib/proxy/upstream/self.ts"
import { everySplit } from "../../../lib/testing/every-split.ts"

test("a connection that we have made ourselves is known by its near end until it has closed", async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const coming = new Promise<Socket>((resolve) => server.once("connection", resolve))
  const dialled = connect(typeof address === "object" ? (address?.port ?? 0) : 0, "127.0.0.1")
  await new Promise((resolve) => dialled.once("connect", resolve))
  const self = new SelfGuard()
  self.dialled(dialled)
  const came = await coming
  const client = new ClientConnection(came)
  const message = /would go round: a connection of the proxy itself was redirected to it; exempt its user/
  t.throws(() => checkRedirected(client, { host: "203.0.113.1", port: 443 }, self), { code: "loop", message })
  t.doesNotThrow(() => checkRedirected(new ClientConnection(dialled), undefined, self))
  const closed = new Promise((resolve) => dialled.once("close", resolve))
  dialled.destroy()
  came.destroy()
  await closed
  t.doesNotThrow(() => checkRedirected(client, undefined, self), "the port may be another's by now")
})

test("Host is found in what has come, once its line is whole", async (t) => {
  const head = Buffer.from("GET / HTTP/1.1\r\nX: a\r\nhOsT: \t Named.test:81 \t\r\nY: b\r\n")
  const whole = head.indexOf("\r\nY") + 2
  for (const [before] of everySplit(head))
    t.equal(firstHost(before), before.length >= whole ? "named.test" : undefined, `${before.length} bytes`)
  t.equal(firstHost(Buffer.from("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")), undefined)
  t.equal(firstHost(Buffer.from("GET /\r\nX-Host: a\r\n\r\n")), undefined)
})
