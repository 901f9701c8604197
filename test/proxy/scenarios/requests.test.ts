/**
 * Requests and answers over HTTP/1.1 as RFC 9110 and 9112 have them: pipelining, HTTP/1.0, answers without a body,
 * interim responses, Expect, trailers, and bodies that end with the connection.
 */
import { test } from "tap"
import { always, baseTo, eventually, ok, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const HOST = "Host: localhost\r\n"

test("an absolute-form request reaches the origin in origin-form", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t)
  const client = await Wire.connect(proxy.port)
  client.write(`GET http://127.0.0.1:${origin.port}/a?b HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\nX: 1\r\n\r\n`)
  t.equal((await client.response()).text, "hi")
  t.equal(origin.requests[0]?.head, `GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\nX: 1`)
  client.end()
})

test("a request to the proxy's own address goes to the base upstream, with its Host", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(`POST /v1/x HTTP/1.1\r\nhost: localhost:${proxy.port}\r\nContent-Length: 3\r\n\r\nabc`)
  t.equal((await client.response()).text, "hi")
  t.equal(origin.requests[0]?.head, `POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:${origin.port}\r\nContent-Length: 3`)
  t.equal(origin.requests[0]?.body.toString(), "abc")
  client.end()
})

test("the Host line of an absolute-form request is kept where it says the same, and rewritten where it does not", async (t) => {
  const origin = await startOrigin(t, always(ok("")))
  const proxy = await startProxy(t)
  const client = await Wire.connect(proxy.port)
  const authority = `127.0.0.1:${origin.port}`
  for (const [sent, forwarded] of [
    [`HOST:  ${authority} `, `HOST:  ${authority} `],
    ["Host: elsewhere.example", `Host: ${authority}`],
  ]) {
    client.write(`GET http://${authority}/ HTTP/1.1\r\nA: 1\r\n${sent}\r\nB: 2\r\n\r\n`)
    await client.response()
    t.equal(origin.requests.at(-1)?.head, `GET / HTTP/1.1\r\nA: 1\r\n${forwarded}\r\nB: 2`)
  }
  client.write(`OPTIONS http://${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
  await client.response()
  t.equal(origin.requests.at(-1)?.target, "*", "OPTIONS without a path is about the server (RFC 9112 3.2.4)")
  client.end()
})

test("pipelined requests are answered in order, one at a time", async (t) => {
  const sockets: (() => void)[] = []
  const origin = await startOrigin(t, (request, socket) => {
    sockets.push(() => socket.write(ok(`answer to ${request.target}`)))
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(
    `POST /1 HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\nabGET /2 HTTP/1.1\r\n${HOST}\r\n` +
      `POST /3 HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /4 HTTP/1.1\r\n${HOST}\r\n`,
  )
  for (let count = 1; count <= 4; count++) {
    await origin.received(count)
    t.equal(origin.requests.length, count, "the next one waits for the answer")
    sockets[count - 1]?.()
    t.equal((await client.response()).text, `answer to /${count}`)
  }
  client.end()
})

test("an HTTP/1.0 client gets its answer unchunked and a close, or keep-alive where it asked for that", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    if (request.target === "/length") socket.write(ok("hi"))
    else socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const kept = await Wire.connect(proxy.port)
  for (let count = 0; count < 2; count++) {
    kept.write(`GET /length HTTP/1.0\r\n${HOST}Connection: keep-alive\r\n\r\n`)
    const response = await kept.response()
    t.equal(response.text, "hi")
    t.equal(response.headers.get("connection"), "keep-alive")
  }
  kept.write(`GET /chunked HTTP/1.0\r\n${HOST}Connection: keep-alive\r\n\r\n`)
  const open = await kept.response()
  t.equal(open.text, "hi")
  t.equal(open.head.framing.kind, "until-close")
  t.notOk(open.headers.has("transfer-encoding"))
  const closed = await Wire.connect(proxy.port)
  closed.write(`GET /length HTTP/1.0\r\n${HOST}\r\n`)
  t.equal((await closed.response()).headers.get("connection"), "close")
  t.equal(await closed.ended, "end")
})

test("answers to HEAD and with 204 or 304 have no body, whatever their fields say", async (t) => {
  const origin = await startOrigin(t, (request, socket) => {
    if (request.method === "HEAD") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
    else if (request.target === "/204") socket.write("HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n")
    else socket.write("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: x\r\n\r\n")
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(`HEAD / HTTP/1.1\r\n${HOST}\r\n`)
  t.equal((await client.response("HEAD")).headers.get("content-length"), "50")
  client.write(`GET /204 HTTP/1.1\r\n${HOST}\r\n`)
  t.same([...(await client.response()).headers], [["X", "1"]])
  client.write(`GET /304 HTTP/1.1\r\n${HOST}\r\n`)
  t.equal((await client.response()).headers.get("content-length"), "7")
  t.equal(origin.connections, 1, "each of them leaves the connection usable")
  client.end()
})

test("interim responses are passed on as they come, but not to HTTP/1.0 clients", async (t) => {
  const origin = await startOrigin(t, (_, socket) => {
    socket.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
    socket.write(ok("done"))
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(`GET / HTTP/1.1\r\n${HOST}\r\n`)
  const response = await client.response()
  t.same(
    response.informational.map(({ status, headers }) => [status, headers.get("link")]),
    [
      [103, "</a>"],
      [102, undefined],
    ],
  )
  t.equal(response.text, "done")
  const old = await Wire.connect(proxy.port)
  old.write(`GET / HTTP/1.0\r\n${HOST}\r\n`)
  t.equal((await old.response()).informational.length, 0)
  client.end()
})

test("Expect: 100-continue is the origin's to answer, with 100 or with the final answer at once", async (t) => {
  let heads = 0
  const { createServer } = await import("node:net")
  const server = createServer((socket) => {
    socket.on("error", () => {})
    socket.on("data", (bytes) => {
      const text = bytes.toString("latin1")
      if (text.startsWith("POST /yes")) {
        heads++
        t.match(text, /\r\nExpect: 100-continue\r\n/)
        socket.write("HTTP/1.1 100 Continue\r\n\r\n")
      } else if (text.startsWith("POST /no")) {
        heads++
        socket.write("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
      } else socket.write(ok(`got ${text}`))
    })
  }).listen(0, "127.0.0.1")
  await new Promise((resolve) => server.once("listening", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === "object" ? (address?.port ?? 0) : 0
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL(`http://127.0.0.1:${port}`) } })
  const yes = await Wire.connect(proxy.port)
  yes.write(`POST /yes HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n`)
  await yes.until("HTTP/1.1 100 Continue\r\n\r\n")
  yes.write("body")
  t.equal((await yes.response()).text, "got body")
  const no = await Wire.connect(proxy.port)
  no.write(`POST /no HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n`)
  const refused = await no.response()
  t.equal(refused.status, 417)
  t.equal(refused.informational.length, 0)
  t.equal(await no.ended, "end", "what became of the body is not known, so the connection ends")
  t.equal(heads, 2)
  yes.end()
})

test("a 100 that nobody asked for is passed on, as every interim response is (RFC 9110 15.2)", async (t) => {
  const origin = await startOrigin(t, (_, socket) => {
    socket.write("HTTP/1.1 100 Continue\r\n\r\n")
    socket.write(ok("done"))
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(`POST / HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nx`)
  t.strictSame(
    (await client.response()).informational.map(({ status }) => status),
    [100],
  )
  client.end()
})

test("trailers travel both ways, chunk extensions do not", async (t) => {
  const origin = await startOrigin(t, (_, socket) => {
    socket.write(
      "HTTP/1.1 200 OK\r\nTrailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nSum: 7\r\n\r\n",
    )
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  client.write(
    `POST / HTTP/1.1\r\n${HOST}TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nCheck: 9\r\n\r\n`,
  )
  const response = await client.response()
  t.equal(response.trailers?.get("sum"), "7")
  t.equal(origin.requests[0]?.rawBody.toString("latin1"), "3\r\nabc\r\n0\r\nCheck: 9\r\n\r\n")
  t.match(origin.requests[0]?.head, /TE: trailers\r\nConnection: TE$/)
  client.end()
})

test("an answer that ends with the connection ends cleanly for the client", async (t) => {
  const origin = await startOrigin(t, (_, socket) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n")
    socket.write("all of it")
    socket.end()
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const client = await Wire.connect(proxy.port)
  for (let count = 1; count <= 2; count++) {
    client.write(`GET / HTTP/1.1\r\n${HOST}\r\n`)
    const response = await client.response()
    t.equal(response.text, "all of it")
    t.equal(response.head.framing.kind, "chunked", "its end is ours to tell")
    t.equal(origin.connections, count)
  }
  client.end()
})

test("an answer that is cut is a cut for the client, in every framing", async (t) => {
  const heads = ["Content-Length: 100\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n", "\r\nsome"]
  const origin = await startOrigin(t, (request, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\n${heads[Number(request.target.slice(1))]}`, () => {
      // Without framing only a reset is a cut.
      if (request.target === "/2") eventually(() => clientSaw()).then(() => socket.resetAndDestroy())
      else socket.end()
    })
  })
  let clientSaw = () => true
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  for (const version of ["1.0", "1.1"]) {
    for (const index of heads.keys()) {
      const client = await Wire.connect(proxy.port)
      clientSaw = () => client.all.includes("some")
      client.write(`GET /${index} HTTP/${version}\r\n${HOST}\r\n`)
      await t.rejects(client.response(), `HTTP/${version} ${heads[index]}`)
      const byClose = version === "1.0" && index > 0
      t.equal(await client.ended, byClose ? "reset" : "end", "a reset where nothing else can tell")
    }
  }
})
