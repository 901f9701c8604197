/** What is known of a client's connection before anything was read from it. */
import { test } from "tap"
import { ClientConnection } from "../../../lib/proxy/session/client-connection.ts"

test("each connection has a number of its own, and the peer's address in its plain form", async (t) => {
  const one = new ClientConnection({ remoteAddress: "::ffff:10.1.2.3", remotePort: 4711 })
  const two = new ClientConnection({ remoteAddress: "fe80::1", remotePort: 4712 })
  t.strictSame([one.address, one.port, two.address, two.port], ["10.1.2.3", 4711, "fe80::1", 4712])
  t.equal(two.id, one.id + 1)
  t.doesNotThrow(() => one.onBoundLost(), "until something is bound to it, nothing is lost")
})

test("a client that has left before anybody looked has an address all the same, which is nobody's", async (t) => {
  const gone = new ClientConnection({ remoteAddress: undefined, remotePort: undefined })
  t.strictSame([gone.address, gone.port], ["unknown", 0])
})
