/**
 * Advisories of peers, replayed: client, proxy and origin must agree on how many requests and answers there were, fields
 * of our own hop stay here, and names that mean something to JavaScript are only names.
 */
import { test } from "tap"
import { always, baseTo, eventually, ok, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const HOST = "Host: localhost\r\n"
const INNER = `GET /smuggled HTTP/1.1\r\n${HOST}\r\n`

test("a request in which another could hide is refused, and counts for nobody", async (t) => {
  const cases: readonly string[] = [
    // CVE-2021-39214, CVE-2022-24766 and their family: two readings of where the body ends.
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 0\r\nContent-Length: ${INNER.length}\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`,
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 0, 5\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Content-Length: +5\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Content-Length : 5\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 0x5\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}X: a\r\n Content-Length: 5\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}X: a\nContent-Length: 5\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}X: a\rContent-Length: 5\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n${INNER}`,
    `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${INNER}`,
    `POST / HTTP/1.1\r\n${HOST}Host: elsewhere\r\n\r\n`,
    `GET /a HTTP/1.1 HTTP/1.1\r\n${HOST}\r\n`,
    `GET /\t HTTP/1.1\r\n${HOST}\r\n`,
    `GET  / HTTP/1.1\r\n${HOST}\r\n`,
    "GET / HTTP/1.1\r\nHost: a/?\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a/#\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
  ]
  let flows = 0
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: baseTo(origin), hooks: { requestHeaders: () => void flows++ } })
  for (const text of cases) {
    const client = await Wire.connect(proxy.port)
    client.write(text)
    const status = (await client.response()).status
    t.ok([400, 421].includes(status), `${status} for ${JSON.stringify(text.slice(0, 90))}`)
    t.equal(await client.ended, "end")
    t.equal(client.all.split("HTTP/1.1 ").length, 2, "one answer")
  }
  t.equal(flows, 0)
  t.equal(origin.requests.length, 0)
})

test("a chunked body that is broken inside never becomes a second request", async (t) => {
  const bodies = [
    "5\r\nhello0\r\n\r\n",
    "5;\nx\r\nhello\r\n0\r\n\r\n",
    "-1\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "100000000000000000\r\nhello",
    "0\r\nContent-Length: 5\r\nbad line\r\n\r\n",
    "0\r\nX: a\nY: b\r\n\r\n",
  ]
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  for (const body of bodies) {
    const client = await Wire.connect(proxy.port)
    client.write(`POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${body}${INNER}`)
    t.equal((await client.response()).status, 400, JSON.stringify(body))
    t.equal(await client.ended, "end")
    await eventually(() => origin.open === 0)
  }
  t.equal(origin.requests.length, 0)
})

test("a request inside a body is a body", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(`POST /1 HTTP/1.1\r\n${HOST}Content-Length: ${INNER.length}\r\n\r\n${INNER}`)
  await client.response()
  client.write(`POST /2 HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`)
  client.write(`${INNER.length.toString(16)}\r\n${INNER}\r\n0\r\n\r\n`)
  await client.response()
  client.write(`GET /3 HTTP/1.1\r\n${HOST}\r\n`)
  await client.response()
  t.same(
    origin.requests.map(({ target, body }) => [target, body.toString()]),
    [
      ["/1", INNER],
      ["/2", INNER],
      ["/3", ""],
    ],
  )
  client.end()
})

test("an answer in which another could hide is a 502, and its connection is not used again", async (t) => {
  const answers = [
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0 200 OK\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(300)}\r\n`,
  ]
  const origin = await startOrigin(
    t,
    (request, socket) => void socket.write(answers[Number(request.target.slice(1))] ?? ""),
  )
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  for (const index of answers.keys()) {
    client.write(`GET /${index} HTTP/1.1\r\n${HOST}\r\n`)
    t.equal((await client.response()).status, 502, JSON.stringify(answers[index]?.slice(0, 80)))
    await eventually(() => origin.open === 0)
  }
  client.end()
})

test("equal lengths in an answer become one", async (t) => {
  const origin = await startOrigin(t, always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi"))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(`GET / HTTP/1.1\r\n${HOST}\r\n`)
  t.same((await client.response()).headers.getAll("content-length"), ["2"])
  client.end()
})

test("an answer that comes before its request is nobody's (CVE-2026-48931)", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    socket.write(ok(`for ${request.target}`))
    setImmediate(() => socket.write(ok("poison")))
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  for (let count = 0; count < 5; count++) {
    client.write(`GET /${count} HTTP/1.1\r\n${HOST}\r\n`)
    t.equal((await client.response()).text, `for /${count}`)
    await eventually(() => origin.open === 0)
  }
  client.end()
})

test("names that mean something to JavaScript are only names, both ways (CVE-2026-21710)", async (t) => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "prototype"]
  const fields = names.map((name) => `${name}: x-${name}\r\n`).join("")
  const origin = await startOrigin(t, (_, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\n${fields}Transfer-Encoding: chunked\r\n\r\n0\r\n${fields}\r\n`)
  })
  const proxy = await startProxy(t, {
    settings: baseTo(origin),
    hooks: {
      request: (flow) => {
        t.equal(flow.request.headers.get("__proto__"), "x-__proto__")
        flow.snapshot()
      },
      response: (flow) => void flow.snapshot(),
    },
  })
  const client = await Wire.connect(proxy.port)
  client.write(`POST / HTTP/1.1\r\n${HOST}${fields}Transfer-Encoding: chunked\r\n\r\n0\r\n${fields}\r\n`)
  const response = await client.response()
  for (const name of names) {
    t.equal(response.headers.get(name), `x-${name}`)
    t.equal(response.trailers?.get(name), `x-${name}`)
  }
  t.ok(origin.requests[0]?.head.includes(fields.trimEnd()))
  t.equal(origin.requests[0]?.rawBody.toString("latin1"), `0\r\n${fields}\r\n`)
  client.end()
})

test("fields of a hop are not forwarded, whatever Connection says", async (t) => {
  const origin = await startOrigin(
    t,
    always(
      ok("hi", "Keep-Alive: timeout=5\r\nConnection: X-Theirs\r\nX-Theirs: 1\r\nProxy-Connection: close\r\nX: y\r\n"),
    ),
  )
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  const lines = [
    "Proxy-Authorization: Basic c2VjcmV0",
    "Proxy-Connection: keep-alive",
    "Keep-Alive: 300",
    "Connection: X-Ours, close, authorization, host, content-length",
    "X-Ours: 1",
    "Authorization: Bearer t",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    "X-Kept: 1",
  ]
  client.write(`POST / HTTP/1.1\r\n${HOST}${lines.join("\r\n")}\r\nContent-Length: 1\r\n\r\nx`)
  const response = await client.response()
  t.same(
    [...response.headers].map(([name]) => name.toLowerCase()),
    ["x", "content-length", "connection"],
  )
  t.equal(response.headers.get("connection"), "close")
  t.equal(
    origin.requests[0]?.head,
    `POST / HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\nAuthorization: Bearer t\r\nX-Kept: 1\r\nContent-Length: 1`,
  )
  t.notMatch(proxy.lines.join("\n"), "c2VjcmV0")
})

test("an h2c upgrade is answered as the plain request that it is", async (t) => {
  const origin = await startOrigin(t, always(ok("plain")))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(
    `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n`,
  )
  t.equal((await client.response()).text, "plain")
  t.notMatch(origin.requests[0]?.head, /upgrade|settings/i)
  client.end()
})
