/**
 * Listeners that lead back to the proxy: each request is answered once, with 508 or the protocol's own refusal, and
 * nothing is sent round.
 */
import { type Test, test } from "tap"
import { makeLogger } from "../../../lib/base/log.ts"
import { Listener } from "../../../lib/proxy/session/listener.ts"
import type { Mode } from "../../../lib/proxy/session/mode.ts"
import { call, openSession } from "../../helpers/clients/h2-client.ts"
import { startProxy, type TestProxy, type TestProxyOptions } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

interface Ring {
  readonly proxy: TestProxy
  /** Client connections that the proxy has accepted. */
  clients(): number
}

const loop: NonNullable<TestProxyOptions["lookup"]> = (_name, _options, done) =>
  done(null, [{ address: "127.0.0.1", family: 4 }])

async function ring(t: Test, options: TestProxyOptions = {}): Promise<Ring> {
  let clients = 0
  const clientConnected = () => {
    clients++
  }
  const proxy = await startProxy(t, { lookup: loop, hooks: { clientConnected }, ...options })
  return { proxy, clients: () => clients }
}

/** One more listener, whose mode knows its own port. */
async function listener(proxy: TestProxy, mode: (port: number) => Mode): Promise<number> {
  const made = new Listener(makeLogger(() => {}, "error"))
  await made.listen("127.0.0.1", 0)
  await proxy.server.serve(made, mode(made.address.port))
  return made.address.port
}

const reverse = (scheme: "http" | "https", host: string, port: number): Mode => ({
  kind: "reverse",
  to: { scheme, host, port, base: "/" },
})

test("a reverse listener that leads to a listener of the proxy answers 508 once", async (t) => {
  const { proxy, clients } = await ring(t)
  const socks = await listener(proxy, () => ({ kind: "socks5" }))
  let asked = 0
  for (const scheme of ["http", "https"] as const) {
    for (const host of ["127.0.0.1", "127.0.0.9", "localhost", "::1", "me.test"]) {
      for (const other of [undefined, proxy.port, socks]) {
        const port = await listener(proxy, (own) => reverse(scheme, host, other ?? own))
        const client = await Wire.connect(port)
        client.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        const answer = await client.response()
        t.equal(answer.status, 508, `${scheme} ${host} ${other === undefined ? "itself" : "another"}`)
        t.match(answer.text, "is the proxy itself")
        client.end()
        await client.closed
        t.equal(clients(), ++asked)
      }
    }
  }
})

test("two reverse listeners that lead to each other answer 508 once", async (t) => {
  const { proxy, clients } = await ring(t)
  const second = new Listener(makeLogger(() => {}, "error"))
  await second.listen("127.0.0.1", 0)
  const first = await proxy.server.listen("127.0.0.1", 0, reverse("http", "127.0.0.1", second.address.port))
  await proxy.server.serve(second, reverse("http", "127.0.0.1", first.port))
  for (const port of [first.port, second.address.port]) {
    const client = await Wire.connect(port)
    client.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    t.equal((await client.response()).status, 508)
    client.end()
  }
  t.equal(clients(), 2)
})

test("an upstream proxy that is the proxy itself gets neither requests nor tunnels", async (t) => {
  const { proxy, clients } = await ring(t)
  let asked = 0
  for (const scheme of ["http", "https", "socks5"]) {
    for (const host of ["127.0.0.1", "localhost", "[::1]", "me.test"]) {
      const port = await listener(proxy, (own) => ({ kind: "upstream", via: `${scheme}://${host}:${own}` }))
      const plain = await Wire.connect(port)
      plain.write("GET http://far.test/ HTTP/1.1\r\nHost: far.test\r\n\r\n")
      t.equal((await plain.response()).status, 508, `${scheme} ${host}`)
      plain.end()
      const tunnel = await Wire.tunnel(port, "far.test:80")
      tunnel.write("GET / HTTP/1.1\r\nHost: far.test\r\n\r\n")
      t.equal((await tunnel.response()).status, 508, `${scheme} ${host} in a tunnel`)
      tunnel.end()
      asked += 2
      t.equal(clients(), asked)
    }
  }
})

test("a tunnel that is only relayed is refused where it would come back", async (t) => {
  const { proxy, clients } = await ring(t, { settings: { ignoreHosts: [/./] } })
  const viaItself = await listener(proxy, (own) => ({ kind: "upstream", via: `http://127.0.0.1:${own}` }))
  for (const [port, authority] of [
    [viaItself, "far.test:443"],
    [proxy.port, `me.test:${proxy.port}`],
    [proxy.port, `me.test:${viaItself}`],
  ] as const) {
    const client = await Wire.connect(port)
    client.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
    t.equal((await client.response("CONNECT")).status, 508, authority)
    client.end()
  }
  t.equal(clients(), 3)
})

test("SOCKS to a listener of the proxy is refused as not allowed", async (t) => {
  const { proxy, clients } = await ring(t)
  const socks = await listener(proxy, () => ({ kind: "socks5" }))
  for (const port of [socks, proxy.port]) {
    const client = await Wire.connect(socks)
    client.write(Buffer.of(5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255))
    await client.ended
    t.strictSame([...client.bytes.subarray(0, 4)], [5, 0, 5, 2])
    client.end()
  }
  t.equal(clients(), 2)
})

test("HTTP/2 whose :authority is the proxy gets 508 on that stream, and the session goes on", async (t) => {
  const { proxy, clients } = await ring(t)
  const other = await listener(proxy, () => ({ kind: "socks5" }))
  const session = await openSession(t, `http://127.0.0.1:${proxy.port}`)
  for (const host of ["x.localhost", "me.test"]) {
    for (const port of [proxy.port, other]) {
      for (const scheme of ["http", "https"]) {
        const answer = await call(session, { ":path": "/", ":authority": `${host}:${port}`, ":scheme": scheme })
        t.equal(answer.status, 508, `${scheme}://${host}:${port}`)
      }
    }
  }
  const reversed = await openSession(
    t,
    `http://127.0.0.1:${await listener(proxy, (own) => reverse("http", "::1", own))}`,
  )
  t.equal((await call(reversed, { ":path": "/", ":authority": "h.test" })).status, 508)
  t.equal(clients(), 2)
})
