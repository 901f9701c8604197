/** Whose requests get a key of the program's own: not those of web pages, nor of strangers. */
import assert from "node:assert/strict"
import { test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import { parseMode } from "../../../lib/proxy/session/mode.ts"
import { DEFAULT_SETTINGS } from "../../../lib/proxy/settings.ts"
import { call, openSession } from "../../helpers/clients/h2-client.ts"
import { addon, answer, origin, startHost } from "../../helpers/hosts/proxy-host.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const KEY = "Bearer the-proxys-own-key"
const addsKey = addon("keys", {
  request(flow: Flow) {
    flow.route({ headers: { Authorization: KEY } })
  },
})
/** What a browser tells of where a request comes from, and whether it gets in. */
const SITES: readonly (readonly [site: string | undefined, origin: string | undefined, status: number])[] = [
  [undefined, undefined, 200],
  ["none", undefined, 200],
  ["same-origin", undefined, 200],
  ["cross-site", undefined, 403],
  ["same-site", undefined, 403],
  ["cross-site", "https://other.example", 403],
  ["same-site", "null", 403],
  ["cross-site", "https://my.example", 200],
]
const PASSED = SITES.filter(([, , status]) => status === 200).length
const get = (fields = "") => `GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n${fields}\r\n`

test("what a browser sends for a page of another site is refused at the base-URL door, without an Origin too", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const settings = { baseUpstream: new URL(`http://127.0.0.1:${up.port}`), baseOrigins: ["https://my.example"] }
  const host = await startHost(t, { settings, addons: [addsKey] })
  for (const [site, from, status] of SITES) {
    const wire = await host.connect()
    const fields = `${site === undefined ? "" : `Sec-Fetch-Site: ${site}\r\n`}${from === undefined ? "" : `Origin: ${from}\r\n`}`
    wire.write(get(fields))
    assert.equal((await wire.response()).status, status, fields)
  }
  assert.equal(up.requests.length, PASSED)
})

/** The fields of HTTP/2 for one of the sites. */
function h2Fields(site: string | undefined, from: string | undefined): Record<string, string> {
  return {
    ":path": "/v1/models",
    ...(site === undefined ? {} : { "sec-fetch-site": site }),
    ...(from === undefined ? {} : { origin: from }),
  }
}

test("over HTTP/2 pages of other sites are refused at the base-URL door as well, stream by stream", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const settings = { baseUpstream: new URL(`http://127.0.0.1:${up.port}`), baseOrigins: ["https://my.example"] }
  const host = await startHost(t, { settings, addons: [addsKey] })
  const session = await openSession(t, `http://127.0.0.1:${host.port}`)
  for (const [site, from, status] of SITES)
    assert.equal((await call(session, h2Fields(site, from))).status, status, `${site} ${from}`)
  assert.equal(up.requests.length, PASSED)
  assert.ok(up.requests.every(({ head }) => head.includes(KEY)))
})

test("a reverse listener gives a key that an addon puts in to no page of another site, over either protocol", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const settings = { baseOrigins: ["https://my.example"] }
  const host = await startHost(t, { settings, addons: [addsKey] })
  const { port } = await host.server.listen("127.0.0.1", 0, parseMode(`reverse:http://127.0.0.1:${up.port}`).mode)
  const session = await openSession(t, `http://127.0.0.1:${port}`)
  for (const [site, from, status] of SITES) {
    const fields = h2Fields(site, from)
    assert.equal((await call(session, fields)).status, status, `HTTP/2, ${site} ${from}`)
    const wire = await Wire.connect(port)
    t.teardown(() => wire.socket.destroy())
    const lines = Object.entries(fields).filter(([name]) => !name.startsWith(":"))
    wire.write(get(lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")))
    assert.equal((await wire.response()).status, status, `HTTP/1.1, ${site} ${from}`)
  }
  // Beside them stands the preface with which HTTP/2 was tried for a client that speaks it.
  const requests = up.requests.filter(({ method }) => method === "GET")
  assert.equal(requests.length, 2 * PASSED)
  assert.ok(requests.every(({ head }) => head.includes(KEY)))
})

test("a reverse listener answers pages of other sites, but not with a key that an addon puts in", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  for (const [addons, status] of [
    [[], 200],
    [[addsKey], 403],
  ] as const) {
    const host = await startHost(t, { addons })
    const { port } = await host.server.listen("127.0.0.1", 0, parseMode(`reverse:http://127.0.0.1:${up.port}`).mode)
    const wire = await Wire.connect(port)
    t.teardown(() => wire.socket.destroy())
    wire.write(get("Sec-Fetch-Site: cross-site\r\nAuthorization: Bearer own\r\n"))
    assert.equal((await wire.response()).status, status)
  }
  assert.equal(up.requests.length, 1)
})

test("a listener that others can reach puts a key in only for clients that authenticate", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const baseUpstream = new URL(`http://127.0.0.1:${up.port}`)
  const seen: boolean[] = []
  const looks = addon("looks", { requestHeaders: (flow) => void seen.push(flow.client.mayUseKeys) })
  for (const [users, fields, status] of [
    [DEFAULT_SETTINGS.proxyUsers, "", 403],
    [
      [{ name: "me", secret: { kind: "password", text: "word" } }],
      `Proxy-Authorization: Basic ${Buffer.from("me:word").toString("base64")}\r\n`,
      200,
    ],
  ] as const) {
    const host = await startHost(t, { addons: [looks, addsKey], settings: { baseUpstream, proxyUsers: users } })
    const { port } = await host.server.listen("0.0.0.0", 0)
    const wire = await Wire.connect(port)
    t.teardown(() => wire.socket.destroy())
    wire.write(get(fields))
    const response = await wire.response()
    assert.equal(response.status, status, response.text)
  }
  assert.deepEqual(seen, [false, true])
  assert.match(up.requests[0]?.head ?? "", new RegExp(`Authorization: ${KEY}`))
})
