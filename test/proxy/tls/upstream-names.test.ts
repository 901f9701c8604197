import type { Socket } from "node:net"
import { connect } from "node:tls"
import { type Test, test } from "tap"
import { makeLogger } from "../../../lib/base/log.ts"
import { UpstreamNames } from "../../../lib/proxy/tls/upstream-names.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { always, ok, sharedCertificates, startOrigin } from "../../helpers/test-proxy.ts"

async function rig(t: Test) {
  const origin = await startOrigin(t, always(ok("hi")), "a.test")
  const { ca } = await sharedCertificates()
  const clock = new ManualClock()
  const lines: string[] = []
  const names = new UpstreamNames(
    clock,
    makeLogger((line) => void lines.push(line), "debug"),
  )
  const asked = { count: 0 }
  const dial = (options: object = { ca }) =>
    new Promise<Socket>((resolve, reject) => {
      asked.count++
      const socket = connect({ port: origin.port, host: "127.0.0.1", servername: "a.test", ...options })
      socket.once("error", reject)
      socket.once("secureConnect", () => resolve(socket))
    })
  return { asked, clock, lines, names, dial }
}

test("a server is asked once for its names, which are kept for an hour", async (t) => {
  const { asked, clock, names, dial } = await rig(t)
  const both = await Promise.all([names.of("a.test:443", dial), names.of("a.test:443", dial)])
  t.same(both, [["a.test"], ["a.test"]])
  clock.advance(3_599_999)
  await names.of("a.test:443", dial)
  t.equal(asked.count, 1)
  clock.advance(1)
  await names.of("a.test:443", dial)
  t.equal(asked.count, 2)
})

test("a server that is not trusted or not there gives no names, and is asked again after a minute", async (t) => {
  const { asked, clock, lines, names, dial } = await rig(t)
  t.same(await names.of("a", () => dial({ rejectUnauthorized: false })), [])
  t.same(await names.of("a", dial), [])
  clock.advance(60_000)
  t.same(await names.of("a", dial), ["a.test"])
  t.equal(asked.count, 2)
  t.same(await names.of("b", () => Promise.reject(new Error("no way"))), [])
  t.same(lines, ["names of b: no way"])
})
