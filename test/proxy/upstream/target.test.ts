import { test } from "tap"
import { type ConnectToRule, DEFAULT_SETTINGS } from "../../../lib/proxy/settings.ts"
import { connectToRule, type Target, targetKey } from "../../../lib/proxy/upstream/target.ts"

test("the first --connect-to rule that fits decides, and its empty parts stay as they were", (t) => {
  const rule = (host: string, port: number | undefined, toHost: string, toPort: number | undefined): ConnectToRule => {
    return { host, port, toHost, toPort }
  }
  const connectTo = [
    rule("a.test", 443, "127.0.0.1", 1),
    rule("a.test", undefined, "", 2),
    rule("", 80, "127.0.0.3", undefined),
  ]
  const settings = { ...DEFAULT_SETTINGS, connectTo }
  t.same(connectToRule(settings, "a.test", 443), { host: "127.0.0.1", port: 1 })
  t.same(connectToRule(settings, "a.test", 80), { host: "a.test", port: 2 })
  t.same(connectToRule(settings, "b.test", 80), { host: "127.0.0.3", port: 80 })
  t.equal(connectToRule(settings, "b.test", 81), undefined)
  t.end()
})

test("every part of a target is in its key", (t) => {
  const base: Target = {
    scheme: "http",
    protocol: "auto",
    host: "a.test",
    port: 80,
    sni: undefined,
    connectTo: undefined,
    via: undefined,
    ca: undefined,
    verify: true,
  }
  const others: Partial<Target>[] = [
    {},
    { scheme: "https" },
    { host: "b.test" },
    { port: 81 },
    { sni: "b.test" },
    { connectTo: { host: "b.test", port: 80 } },
    { via: "http://u:p@proxy.test" },
    { via: "http://u:q@proxy.test" },
    { ca: "x" },
    { verify: false },
  ]
  t.equal(new Set(others.map((change) => targetKey({ ...base, ...change }))).size, others.length)
  t.end()
})
