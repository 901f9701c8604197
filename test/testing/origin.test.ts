import { test } from "tap"
import { ScriptedOrigin } from "../../lib/testing/origin.ts"
import { ok, sharedCertificates } from "../helpers/test-proxy.ts"
import { Wire } from "../helpers/wire/wire.ts"

test("an origin keeps the exact bytes of what it was sent, in any pieces", async (t) => {
  const origin = await ScriptedOrigin.start((_, socket) => void socket.write(ok("hi")))
  t.teardown(() => origin.close())
  const client = await Wire.connect(origin.port)
  const bytes =
    "POST /1 HTTP/1.1\r\nContent-LENGTH: 3\r\n\r\nabc" +
    "PUT /2?x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n1\r\n!\r\n0\r\nSum: 1\r\n\r\n" +
    "GET /3 HTTP/1.1\r\nX: y\r\n\r\n"
  for (const char of bytes) {
    client.write(char)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await origin.received(3)
  await origin.received(2)
  t.match(origin.requests, [
    { method: "POST", target: "/1", head: "POST /1 HTTP/1.1\r\nContent-LENGTH: 3", connection: 1 },
    { method: "PUT", target: "/2?x", head: "PUT /2?x HTTP/1.1\r\nTransfer-Encoding: chunked", connection: 1 },
    { method: "GET", target: "/3", head: "GET /3 HTTP/1.1\r\nX: y", connection: 1 },
  ])
  t.same(
    origin.requests.map(({ body, rawBody }) => [body.toString(), rawBody.toString()]),
    [
      ["abc", "abc"],
      ["hi!", "2;a=b\r\nhi\r\n1\r\n!\r\n0\r\nSum: 1\r\n\r\n"],
      ["", ""],
    ],
  )
  for (let count = 0; count < 3; count++) await client.response()
  t.equal(origin.connections, 1)
  t.equal(origin.open, 1)
})

test("an origin that closes ends its connections, over TLS as well", async (t) => {
  const certificates = await sharedCertificates()
  const origin = await ScriptedOrigin.start(() => {}, certificates.chainFor("a.test"))
  const client = await (await Wire.connect(origin.port)).secure({ servername: "a.test", ca: certificates.ca })
  client.write("GET / HTTP/1.1\r\n\r\n")
  await origin.received(1)
  await origin.close()
  await client.closed
  t.equal(origin.open, 0)
  t.equal(origin.port, 0)
})
