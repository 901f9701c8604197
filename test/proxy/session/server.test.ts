import { test } from "tap"
import type { ServerHookInfo } from "../../../lib/api/hooks.ts"
import { StartError } from "../../../lib/base/errors.ts"
import { always, baseTo, eventually, ok, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

test("a port that is taken or an address that is not ours is told of in one line", async (t) => {
  const proxy = await startProxy(t)
  await t.rejects(
    proxy.server.listen("127.0.0.1", proxy.port),
    new StartError(
      `listen on 127.0.0.1:${proxy.port}: the port is in use; choose another with -p PORT, or stop what uses it`,
    ),
  )
  await t.rejects(proxy.server.listen("192.0.2.1", 0), { name: "StartError", message: /no such address.*--host/ })
  await t.rejects(proxy.server.listen("no.such.host.invalid", 0), { name: "StartError" })
})

test("clients are counted while they are connected, and hooks tell of them once", async (t) => {
  const told: string[] = []
  const proxy = await startProxy(t, {
    hooks: {
      clientConnected: ({ address }) => void told.push(`connected ${address}`),
      clientDisconnected: () => void told.push("disconnected"),
    },
  })
  const client = await Wire.connect(proxy.port)
  await eventually(() => proxy.server.clients === 1)
  client.end()
  await eventually(() => proxy.server.clients === 0)
  t.same(told, ["connected 127.0.0.1", "disconnected"])
})

test("an addon that blocks can turn a client away", async (t) => {
  const proxy = await startProxy(t, {
    addon: { onError: "block" },
    hooks: {
      clientConnected: () => {
        throw new Error("not you")
      },
      clientDisconnected: () => {
        throw new Error("nor then")
      },
    },
  })
  const client = await Wire.connect(proxy.port)
  await client.closed
  await eventually(() => proxy.server.clients === 0)
  t.match(await proxy.logged("clientConnected failed"), "not you")
})

test("hooks of upstream connections tell where they lead, and can lead them elsewhere", async (t) => {
  const origin = await startOrigin(t, (_, socket) => void socket.write(ok("hi", "Connection: close\r\n")))
  const told: [string, ServerHookInfo][] = []
  const tell = (what: string) => (info: ServerHookInfo) => void told.push([what, { ...info }])
  const proxy = await startProxy(t, {
    settings: { baseUpstream: new URL("http://a.test") },
    hooks: {
      serverConnect: (info) => {
        told.push(["connect", { ...info }])
        info.connectTo = `127.0.0.1:${origin.port}`
      },
      serverConnected: tell("connected"),
      serverDisconnected: tell("disconnected"),
    },
  })
  const client = await Wire.connect(proxy.port)
  client.write(REQUEST)
  t.equal((await client.response()).text, "hi")
  await eventually(() => told.length === 3)
  const info = { host: "a.test", port: 80, connectTo: undefined }
  t.same(told, [
    ["connect", info],
    ["connected", info],
    ["disconnected", info],
  ])
  client.end()
})

test("a rule of --connect-to is shown to serverConnect, which may take it away", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const seen: (string | undefined)[] = []
  const proxy = await startProxy(t, {
    settings: {
      ...baseTo(origin),
      connectTo: [{ host: "127.0.0.1", port: origin.port, toHost: "127.0.0.1", toPort: 1 }],
    },
    hooks: {
      serverConnect: (info) => {
        seen.push(info.connectTo)
        info.connectTo = undefined
      },
    },
  })
  const client = await Wire.connect(proxy.port)
  client.write(REQUEST)
  t.equal((await client.response()).text, "hi")
  t.same(seen, ["127.0.0.1:1"])
  client.end()
})

test("a connectTo that is no host and port fails the request and names itself", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const proxy = await startProxy(t, {
    settings: baseTo(origin),
    hooks: {
      serverConnect: (info) => {
        info.connectTo = "http://elsewhere/"
      },
    },
  })
  const client = await Wire.connect(proxy.port)
  client.write(REQUEST)
  const response = await client.response()
  t.equal(response.status, 502)
  t.match(response.text, "write host:port")
  t.equal(origin.connections, 0)
  client.end()
})

test("hooks of upstream connections that fail in a blocking addon stop the request, never the program", async (t) => {
  const origin = await startOrigin(t, (_, socket) => void socket.write(ok("hi", "Connection: close\r\n")))
  for (const failing of ["serverConnect", "serverConnected", "serverDisconnected"] as const) {
    for (const asynchronous of [false, true]) {
      const error = new Error("broken addon")
      const proxy = await startProxy(t, {
        settings: baseTo(origin),
        addon: { onError: "block" },
        hooks: {
          [failing]: () => {
            if (asynchronous) return Promise.reject(error)
            throw error
          },
        },
      })
      const client = await Wire.connect(proxy.port)
      client.write(REQUEST)
      t.equal((await client.response()).status, failing === "serverDisconnected" ? 200 : 502, failing)
      t.match(await proxy.logged(`${failing} failed`), "broken addon")
      client.end()
    }
  }
})

test("stop() lets the open answer end, closes idle connections, and takes no more clients", async (t) => {
  let finish: () => void = () => {}
  const origin = await startOrigin(t, (request, socket) => {
    if (request.target === "/now") socket.write(ok("now"))
    else {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
      finish = () => socket.write("rest")
    }
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const idle = await Wire.connect(proxy.port)
  idle.write("GET /now HTTP/1.1\r\nHost: localhost\r\n\r\n")
  await idle.response()
  const fresh = await Wire.connect(proxy.port)
  const busy = await Wire.connect(proxy.port)
  busy.write("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
  await busy.until("half")
  await eventually(() => proxy.server.clients === 3)
  const stopping = proxy.server.stop(10_000)
  await Promise.all([idle.closed, fresh.closed])
  await eventually(() => proxy.server.clients === 1)
  await t.rejects(Wire.connect(proxy.port), { code: "ECONNREFUSED" })
  finish()
  t.equal((await busy.response()).text, "halfrest")
  await busy.closed
  await stopping
  await eventually(() => origin.open === 0)
})

test("stop() cuts what is still open when the grace is over, or at a second stop()", async (t) => {
  const origin = await startOrigin(
    t,
    (_, socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"),
  )
  for (const second of [false, true]) {
    const proxy = await startProxy(t, { settings: baseTo(origin) })
    const client = await Wire.connect(proxy.port)
    client.write(REQUEST)
    await client.until("half")
    const stopping = proxy.server.stop(10_000)
    if (second) await proxy.server.stop(0)
    else proxy.clock.advance(10_000)
    await stopping
    await t.rejects(client.response())
    await eventually(() => proxy.server.clients === 0 && origin.open === 0)
  }
})

test("a client is known by its user, else by a hash of its credential, else by its address", async (t) => {
  const origin = await startOrigin(t, always(ok("hi")))
  const ids: string[] = []
  const proxy = await startProxy(t, {
    settings: baseTo(origin),
    hooks: { request: (flow) => void ids.push(flow.client.id) },
  })
  const client = await Wire.connect(proxy.port)
  for (const field of ["", "Authorization: Bearer sk-one\r\n", "X-Api-Key: sk-one\r\n", "Api-Key: two\r\n"]) {
    client.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${field}\r\n`)
    await client.response()
  }
  t.equal(ids[0], "127.0.0.1")
  for (const id of ids.slice(1)) t.match(id, /^key-[0-9a-f]{16}$/)
  t.equal(new Set(ids).size, 4)
  t.notMatch(ids.join(), "sk-one")
  client.end()
})
