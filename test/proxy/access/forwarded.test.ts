import { type Test, test } from "tap"
import { Headers } from "../../../lib/base/headers.ts"
import { defineAddon } from "../../../lib/index.ts"
import { clientAddress } from "../../../lib/proxy/access/forwarded.ts"
import { addressRange } from "../../../lib/proxy/access/rules.ts"
import { loadAddon } from "../../../lib/testing/index.ts"

const trustedProxies = ["10.0.0.0/8", "2001:db8::/32"].map((range) => addressRange(range, "--trusted-proxy"))

function seen(address: string, ...fields: string[]): string {
  const headers = new Headers(fields.map((value): [string, string] => ["X-Forwarded-For", value]))
  return clientAddress({ address }, headers, { trustedProxies })
}

test("the last address that no trusted proxy has is the client's, whatever stands before it", (t) => {
  const cases: [string, string[], string][] = [
    ["10.0.0.1", ["192.0.2.1"], "192.0.2.1"],
    ["10.0.0.1", ["127.0.0.1, 192.0.2.1"], "192.0.2.1"],
    ["10.0.0.1", ["192.0.2.1, 10.0.0.9"], "192.0.2.1"],
    ["10.0.0.1", ["192.0.2.9", "192.0.2.1, 10.1.1.1"], "192.0.2.1"],
    ["2001:db8::1", ["[2001:db9::7]:443"], "2001:db9::7"],
    ["10.0.0.1", ["192.0.2.1:5000"], "192.0.2.1"],
    ["10.0.0.1", ["::ffff:192.0.2.1"], "192.0.2.1"],
    ["10.0.0.1", ["10.0.0.7, 10.0.0.9"], "10.0.0.7"],
    ["10.0.0.1", [], "10.0.0.1"],
    ["10.0.0.1", ["unknown"], "10.0.0.1"],
    ["10.0.0.1", ["192.0.2.1, _hidden, 10.0.0.9"], "10.0.0.9"],
    ["10.0.0.1", [Array.from({ length: 1_000 }, () => "10.0.0.2").join(",")], "10.0.0.2"],
    ["192.0.2.7", ["127.0.0.1"], "192.0.2.7"],
    ["unknown", ["192.0.2.1"], "unknown"],
  ]
  for (const [address, fields, wanted] of cases) t.equal(seen(address, ...fields), wanted, `${address} ${fields}`)
  t.equal(
    clientAddress({ address: "10.0.0.1" }, new Headers({ "X-Forwarded-For": "1.2.3.4" }), { trustedProxies: [] }),
    "10.0.0.1",
  )
  t.end()
})

async function shown(t: Test, trustedProxy: string[]) {
  const addresses: string[] = []
  const addon = await loadAddon(
    defineAddon({
      name: "who",
      setup({ serve }) {
        serve({ method: "GET", path: "/who", access: "open" }, (_, { address }) => new Response(address))
        serve({ method: "GET", path: "/admin", access: "admin" }, () => new Response("in"))
        return { request: ({ client }) => void addresses.push(`${client.address} ${client.id} ${client.mayUseKeys}`) }
      },
    }),
    { program: { trustedProxy } },
  )
  t.teardown(() => addon.close())
  const headers = { "X-Forwarded-For": "192.0.2.1" }
  await addon.request({ url: "http://api.test/", headers })
  const who = await addon.request({ url: "/who", headers })
  const admin = await addon.request({ url: "/admin" })
  return { addresses, who: who.text, admin: admin.status }
}

test("behind a trusted proxy flows and pages have the client's address, and nobody counts as this machine's", async (t) => {
  t.strictSame(await shown(t, ["127.0.0.0/8"]), {
    addresses: ["192.0.2.1 192.0.2.1 false"],
    who: "192.0.2.1",
    admin: 401,
  })
  t.strictSame(await shown(t, []), { addresses: ["127.0.0.1 127.0.0.1 true"], who: "127.0.0.1", admin: 200 })
})
