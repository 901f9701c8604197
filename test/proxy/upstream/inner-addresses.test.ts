/** What clients of a listener that other machines reach may not name: addresses that only mean something where the proxy stands. */
import { type Test, test } from "tap"
import type { Lookup } from "../../../lib/proxy/upstream/dial.ts"
import { isInner } from "../../../lib/proxy/upstream/inner-addresses.ts"
import { baseTo, everythingTo, ok, startOrigin, startProxy, type TestProxyOptions } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

test("this machine, its link and the clouds' metadata are inner, a house's network is not", (t) => {
  const inner = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "0.1.2.3",
    "localhost",
    "a.localhost",
    "::1",
    "::",
    "169.254.169.254",
  ]
  inner.push(
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
  )
  for (const host of inner) t.equal(isInner(host), true, host)
  for (const host of [
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "8.8.8.8",
    "2001:db8::1",
    "fd00::1",
    "api.openai.com",
    "",
  ])
    t.equal(isInner(host), false, host)
  t.end()
})

async function ask(port: number, target: string, host = "a.test"): Promise<string> {
  const wire = await Wire.connect(port)
  wire.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  await wire.closed
  return wire.text
}

const leadsTo =
  (address: string): Lookup =>
  (_name, _options, callback) =>
    callback(null, [{ address, family: address.includes(":") ? 6 : 4 }])

async function world(t: Test, options: TestProxyOptions = {}) {
  const origin = await startOrigin(t, (_, socket) => void socket.write(ok("reached")))
  const proxy = await startProxy(t, { host: "0.0.0.0", ...options })
  return { origin, proxy }
}

test("an inner address that a client names is refused before anything is sent, by number and by name", async (t) => {
  const { origin, proxy } = await world(t)
  for (const host of ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1.2.3"])
    t.match(
      await ask(proxy.port, `http://${host}:${origin.port}/`),
      /^HTTP\/1\.1 403 [\s\S]*--allow-private lets them/,
      host,
    )
  for (const host of ["169.254.169.254", "[fd00:ec2::254]", "100.100.100.200"])
    t.match(await ask(proxy.port, `http://${host}/latest/meta-data/`), /^HTTP\/1\.1 403 /, host)
  for (const address of ["127.0.0.1", "169.254.169.254", "::1"]) {
    const named = await startProxy(t, { host: "0.0.0.0", lookup: leadsTo(address) })
    t.match(await ask(named.port, `http://rebound.test:${origin.port}/`), /^HTTP\/1\.1 403 /, address)
  }
  t.equal(origin.requests.length, 0)
})

test("nor through a tunnel, read or relayed unseen", async (t) => {
  const { origin, proxy } = await world(t, { settings: { ignoreHosts: [/^localhost:/] } })
  const tunnel = await Wire.tunnel(proxy.port, `127.0.0.1:${origin.port}`)
  tunnel.write("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
  await tunnel.closed
  t.match(tunnel.text, /^HTTP\/1\.1 403 /)
  await t.rejects(Wire.tunnel(proxy.port, `localhost:${origin.port}`), /403 .*--allow-private lets them/)
  t.equal(origin.requests.length, 0)
})

test("what an option or an addon names is reached, and all of it where the listener is this machine's or it is allowed", async (t) => {
  const { origin, proxy } = await world(t, { settings: { allowPrivate: true } })
  const target = `http://127.0.0.1:${origin.port}/`
  t.match(await ask(proxy.port, target), "reached", "--allow-private")
  const own = await startProxy(t)
  t.match(await ask(own.port, target), "reached", "a listener of this machine's own")
  const base = await startProxy(t, { host: "0.0.0.0", settings: baseTo(origin) })
  t.match(await ask(base.port, "/v1/models", "127.0.0.1"), "reached", "the base upstream")
  const ruled = await startProxy(t, { host: "0.0.0.0", settings: everythingTo(origin) })
  t.match(await ask(ruled.port, "http://a.test/"), "reached", "--connect-to")
  const hooks = {
    requestHeaders: (flow: { route(spec: { url: string }): void }) => {
      flow.route({ url: target })
    },
  }
  const routed = await startProxy(t, { host: "0.0.0.0", hooks })
  t.match(await ask(routed.port, "http://a.test/"), "reached", "an addon's route")
  t.equal(origin.requests.length, 5)
})

test("a connection that one client's name has made is no way for another's", async (t) => {
  const { origin, proxy } = await world(t, { lookup: leadsTo("127.0.0.1") })
  const { port } = await proxy.server.listen("127.0.0.1", 0)
  t.match(await ask(port, `http://a.test:${origin.port}/`), "reached")
  t.match(await ask(proxy.port, `http://a.test:${origin.port}/`), /^HTTP\/1\.1 403 /)
})
