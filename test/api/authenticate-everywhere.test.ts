/** An addon that asks everywhere: tunnels, what is asked through the proxy, and what is served to everybody. */
import { type Test, test } from "tap"
import { type AddonContext, defineAddon } from "../../lib/api/addon.ts"
import type { ClientInfo } from "../../lib/api/flow.ts"
import type { Hooks } from "../../lib/api/hooks.ts"
import { always, ok, startOrigin } from "../helpers/test-proxy.ts"
import { Wire } from "../helpers/wire/wire.ts"
import { askHttp1, rig } from "./serve-rig.ts"
import { folderWith, startedWith } from "./started.ts"

const basic = (password: string) => `Basic ${Buffer.from(`any:${password}`).toString("base64")}`

/** Names who shows "ann" or "bob" at the proxy or the server; refuses whoever is nobody. */
const authenticate: Hooks["authenticate"] = ({ request, client, via, identify, refuse }) => {
  for (const name of ["proxy-authorization", "authorization"]) {
    const shown = request.headers.get(name)
    const password = shown?.startsWith("Basic ") ? Buffer.from(shown.slice(6), "base64").toString().slice(4) : shown
    if (password === undefined || !["ann", "bob"].includes(password)) continue
    request.headers.delete(name)
    return identify(password, undefined, { via, admin: password === "bob" })
  }
  if (client.user === undefined) refuse(401, `a key is needed at ${request.path}`)
}

/** The program with such an addon, and who its flows' clients are. */
async function world(t: Test, flags: Readonly<Record<string, unknown>> = {}) {
  const clients: Pick<ClientInfo, "user" | "claims" | "mayUseKeys">[] = []
  const builtin = [
    defineAddon({ name: "asking", asks: "everywhere", authenticate }),
    defineAddon({
      name: "watching",
      requestHeaders: ({ client: { user, claims, mayUseKeys } }) => void clients.push({ user, claims, mayUseKeys }),
    }),
  ]
  if (flags.mode !== undefined) {
    // Its clients speak no HTTP to the proxy itself, so that the rig's own would not come in.
    const origin = await startOrigin(t, always(ok("the upstream")))
    const running = await startedWith(t, await folderWith(t, {}), { builtin, flags })
    return { ...withWires(t, running.port, origin.port), ...running, origin, clients, protocols: [] }
  }
  const serves = ({ serve }: AddonContext) => {
    for (const access of ["public", "open", "admin"] as const)
      serve({ method: "GET", path: `/${access}`, access }, (_, { user }) => Response.json(user ?? null))
  }
  const running = await rig(t, serves, { builtin, flags })
  return { ...withWires(t, running.port, running.origin.port), ...running, clients }
}

function withWires(t: Test, port: number, origin: number) {
  const connect = async () => {
    const wire = await Wire.connect(port)
    t.teardown(() => wire.socket.destroy())
    return wire
  }
  const connectTo = async (fields: string) => {
    const wire = await connect()
    wire.write(`CONNECT 127.0.0.1:${origin} HTTP/1.1\r\nHost: h\r\n${fields}\r\n`)
    return { wire, answer: await wire.response("CONNECT") }
  }
  return { connect, connectTo }
}

const GET = (fields = "") => `GET /x HTTP/1.1\r\nHost: h\r\n${fields}\r\n`

test("a tunnel is asked before it is opened, and what comes in it is its client's until another key is shown", async (t) => {
  const { connectTo, clients, origin } = await world(t)
  for (const fields of ["", `Proxy-Authorization: ${basic("eve")}\r\n`]) {
    const { answer } = await connectTo(fields)
    t.same([answer.status, answer.headers.get("proxy-authenticate")?.slice(0, 5)], [407, "Basic"])
    t.match(answer.text, /a key is needed at 127\.0\.0\.1:\d+/)
  }
  t.equal(origin.connections, 0, "nothing was dialled")
  const { wire, answer } = await connectTo(`Proxy-Authorization: ${basic("ann")}\r\n`)
  t.equal(answer.status, 200)
  for (const fields of ["", "Authorization: bob\r\n", "Authorization: of-the-server\r\n"]) {
    wire.write(GET(fields))
    t.equal((await wire.response()).text, "the upstream")
  }
  t.match(clients, [
    { user: "ann", claims: { via: "connect" } },
    { user: "bob", claims: { via: "request" } },
    { user: "ann", claims: { via: "connect" } },
  ])
  const heads = origin.requests.map(({ head }) => head)
  t.notMatch(heads.join("\n"), /proxy-authorization|bob/i)
  t.match(heads[2], /authorization: of-the-server/i, "the server's own credential passes")
})

test("what is asked through the proxy gets 407, at its own address 401", async (t) => {
  const { connect, origin, clients, port } = await world(t)
  const wire = await connect()
  const url = `http://127.0.0.1:${origin.port}/x`
  const ask = async (fields: string) => {
    wire.write(`GET ${url} HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\n${fields}\r\n`)
    return wire.response()
  }
  const refused = await ask("")
  t.same([refused.status, refused.headers.get("proxy-authenticate")?.slice(0, 5)], [407, "Basic"])
  t.equal((await ask(`Proxy-Authorization: ${basic("ann")}\r\n`)).status, 200)
  t.match(clients, [{ user: "ann" }])
  t.equal((await ask("")).status, 407, "the next one on this connection is asked again")
  const direct = await askHttp1(port, { path: "/v1/models" })
  t.same([direct.status, direct.field("www-authenticate")], [401, 'Bearer realm="llmproxy"'])
  const upgrade = await askHttp1(port, {
    path: "/v1/realtime",
    headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13" },
  })
  t.equal(upgrade.status, 401)
})

test("SOCKS5 is asked with user and password, and has its own word for a refusal", async (t) => {
  const { connect, clients, origin } = await world(t, { mode: "socks5" })
  const shake = async (password: string) => {
    const wire = await connect()
    wire.write(Buffer.from([5, 1, 2]))
    t.same([...(await taken(wire, 2))], [5, 2])
    wire.write(
      Buffer.concat([Buffer.from([1, 3]), Buffer.from("any"), Buffer.from([password.length]), Buffer.from(password)]),
    )
    return { wire, said: [...(await taken(wire, 2))] }
  }
  t.same((await shake("eve")).said, [1, 1])
  const { wire, said } = await shake("ann")
  t.same(said, [1, 0])
  wire.write(Buffer.from([5, 1, 0, 1, 127, 0, 0, 1, origin.port >> 8, origin.port & 0xff]))
  t.equal((await taken(wire, 10))[1], 0)
  wire.write(GET())
  t.equal((await wire.response()).text, "the upstream")
  t.match(clients, [{ user: "ann", claims: { via: "socks" } }])
  const silent = await connect()
  silent.write(Buffer.from([5, 1, 0]))
  t.same([...(await taken(silent, 2))], [5, 255], "without credentials nobody comes in")
})

async function taken(wire: Wire, count: number): Promise<Uint8Array> {
  while (wire.bytes.length < count && !wire.socket.destroyed) await new Promise((resolve) => setImmediate(resolve))
  return Buffer.from(wire.take())
}

test("what is served to everybody is asked as well, unless it is public", async (t) => {
  const { protocols } = await world(t)
  for (const [name, ask] of protocols) {
    t.equal((await ask({ path: "/open" })).status, 401, name)
    t.equal((await ask({ path: "/open", headers: { authorization: "ann" } })).text, '"ann"', name)
    t.equal((await ask({ path: "/public" })).text, "null", name)
    t.equal((await ask({ path: "/public", headers: { authorization: "ann" } })).text, "null", name)
  }
})

test("whoever is said to be admin may what only who runs the proxy may", async (t) => {
  const { protocols } = await world(t)
  const forwarded = { "x-forwarded-for": "192.0.2.1" }
  for (const [name, ask] of protocols) {
    t.equal((await ask({ path: "/admin", headers: forwarded })).status, 401, name)
    t.equal((await ask({ path: "/admin", headers: { ...forwarded, authorization: "ann" } })).status, 401, name)
    t.equal((await ask({ path: "/admin", headers: { ...forwarded, authorization: "bob" } })).text, '"bob"', name)
    t.equal((await ask({ path: "/admin" })).text, "null", `${name}: a program of this machine`)
  }
})

test("a hook that fails opens no tunnel", async (t) => {
  const failing = defineAddon({
    name: "failing",
    asks: "everywhere",
    authenticate() {
      throw new Error("the reason")
    },
  })
  const { port } = await startedWith(t, await folderWith(t, {}), { builtin: [failing] })
  const wire = await Wire.connect(port)
  t.teardown(() => wire.socket.destroy())
  wire.write("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: h\r\n\r\n")
  const answer = await wire.response()
  t.equal(answer.status, 500)
  t.notMatch(answer.text, "the reason")
})

test("where proxy users are declared their password opens tunnels, and requests are asked", async (t) => {
  const { connectTo, clients } = await world(t, { proxyAuth: ["carl:secret"] })
  t.equal((await connectTo(`Proxy-Authorization: ${basic("ann")}\r\n`)).answer.status, 407)
  const carl = Buffer.from("carl:secret").toString("base64")
  const { wire, answer } = await connectTo(`Proxy-Authorization: Basic ${carl}\r\n`)
  t.equal(answer.status, 200)
  wire.write(GET())
  t.equal((await wire.response()).status, 401)
  wire.write(GET("Authorization: ann\r\n"))
  t.equal((await wire.response()).status, 200)
  t.match(clients, [{ user: "ann" }])
})

test("whoever was named may use the program's keys, also at a listener that other machines reach", async (t) => {
  const { port, clients } = await world(t, { host: "0.0.0.0" })
  t.equal((await askHttp1(port, { path: "/v1/models", headers: { Authorization: "ann" } })).status, 200)
  t.match(clients, [{ user: "ann", mayUseKeys: true }])
})
