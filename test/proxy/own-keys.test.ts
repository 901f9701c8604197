/** Whose requests get a key of the program's own: not those of web pages, nor of strangers. */
import assert from "node:assert/strict"
import { test } from "tap"
import type { Flow } from "../../lib/flow.ts"
import { parseMode } from "../../lib/proxy/mode.ts"
import { DEFAULT_SETTINGS } from "../../lib/proxy/settings.ts"
import { addon, answer, origin, startHost } from "../helpers/proxy-host.ts"
import { Wire } from "../helpers/wire.ts"

const KEY = "Bearer the-proxys-own-key"
const addsKey = addon("keys", {
  request(flow: Flow) {
    flow.route({ headers: { Authorization: KEY } })
  },
})
const get = (fields = "") => `GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n${fields}\r\n`

test("what a browser sends for a page of another site is refused at the base-URL door, without an Origin too", async (t) => {
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const settings = { baseUpstream: new URL(`http://127.0.0.1:${up.port}`), baseOrigins: ["https://my.example"] }
  const host = await startHost(t, { settings, addons: [addsKey] })
  const cases: [string, number][] = [
    ["", 200],
    ["Sec-Fetch-Site: none\r\n", 200],
    ["Sec-Fetch-Site: same-origin\r\n", 200],
    ["Sec-Fetch-Site: cross-site\r\n", 403],
    ["Sec-Fetch-Site: same-site\r\n", 403],
    ["Sec-Fetch-Site: cross-site\r\nOrigin: https://other.example\r\n", 403],
    ["Sec-Fetch-Site: cross-site\r\nOrigin: https://my.example\r\n", 200],
  ]
  for (const [fields, status] of cases) {
    const wire = await host.connect()
    wire.write(get(fields))
    assert.equal((await wire.response()).status, status, fields)
  }
  assert.equal(up.requests.length, cases.filter(([, status]) => status === 200).length)
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
