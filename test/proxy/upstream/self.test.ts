import { networkInterfaces } from "node:os"
import { test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { SelfGuard } from "../../../lib/proxy/upstream/self.ts"

test("every spelling of loopback is ours, at our port only", (t) => {
  for (const own of ["127.0.0.1", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"]) {
    const guard = new SelfGuard()
    guard.listen({ address: own, port: 8080 })
    for (const address of ["127.0.0.1", "127.0.0.2", "::1", "0:0:0:0:0:0:0:1", "0.0.0.0", "::", "::ffff:7f00:1"]) {
      t.equal(guard.isSelf(address, 8080), true, `${address} for ${own}`)
      t.equal(guard.isSelf(address, 8081), false)
    }
    t.equal(guard.isSelf("192.0.2.1", 8080), false)
    for (const host of ["localhost", "a.localhost", "127.0.0.1", "::ffff:127.0.0.1"])
      t.throws(() => guard.check(host, 8080), { status: 508, code: "loop" }, host)
    t.doesNotThrow(() => guard.check("localhost", 80))
    t.doesNotThrow(() => guard.check("nolocalhost", 8080))
    guard.clear()
    t.equal(guard.isSelf("127.0.0.1", 8080), false)
  }
  t.end()
})

test("an address of this machine is ours where we listen on it or everywhere", (t) => {
  const guard = new SelfGuard()
  guard.listen({ address: "192.0.2.7", port: 1 })
  t.equal(guard.isSelf("192.0.2.7", 1), true)
  t.equal(guard.isSelf("127.0.0.1", 1), false)
  const everywhere = new SelfGuard()
  everywhere.listen({ address: "::", port: 1 })
  for (const entry of Object.values(networkInterfaces()).flatMap((list) => list ?? []))
    t.equal(everywhere.isSelf(entry.address, 1), true, entry.address)
  t.end()
})

test("the refusal says what to do", (t) => {
  const guard = new SelfGuard()
  guard.listen({ address: "127.0.0.1", port: 8080 })
  try {
    guard.check("localhost", 8080)
  } catch (thrown) {
    t.ok(thrown instanceof FlowError)
    t.match(
      String(thrown),
      /localhost:8080 is the proxy itself; to use it as a base URL, send the request to it directly/,
    )
  }
  t.end()
})
