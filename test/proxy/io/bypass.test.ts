/** Which hosts are reached past a proxy: every form of an entry of NO_PROXY. */
import { test } from "tap"
import { bypassRule, wayOut } from "../../../lib/proxy/io/bypass.ts"

const VIA = "http://corp.test:3128"
const isDirect = (entry: string, host: string, port = 443) =>
  wayOut({ upstreamBypass: [bypassRule(entry)] }, VIA, { host, port }) === undefined

test("an entry names a host, all below it, with a port, a range of addresses, or everything", async (t) => {
  for (const [entry, host] of [
    ["corp.example", "corp.example"],
    ["corp.example", "git.corp.example"],
    [".corp.example", "git.corp.example"],
    ["*.Corp.example", "git.corp.example"],
    ["corp.example:443", "corp.example"],
    ["10.1.2.3", "10.1.2.3"],
    ["10.0.0.0/8", "10.1.2.3"],
    ["fd00::/8", "fd00::1"],
    ["::1", "::1"],
    ["[::1]:443", "::1"],
    ["*", "anything.test"],
  ] as const)
    t.ok(isDirect(entry, host), `${entry} and ${host}`)
  for (const [entry, host] of [
    ["corp.example", "notcorp.example"],
    ["corp.example:8443", "corp.example"],
    ["10.0.0.0/8", "11.1.2.3"],
    ["10.0.0.0/8", "ten.test"],
    ["10.0.0.0/99", "10.1.2.3"],
    ["", "corp.example"],
    [".", "corp.example"],
  ] as const)
    t.notOk(isDirect(entry, host), `${entry} and ${host}`)
})

test("without a proxy there is none, and without rules it stays", async (t) => {
  t.equal(wayOut({ upstreamBypass: [bypassRule("*")] }, undefined, { host: "a", port: 1 }), undefined)
  t.equal(wayOut({ upstreamBypass: [] }, VIA, { host: "a", port: 1 }), VIA)
})
