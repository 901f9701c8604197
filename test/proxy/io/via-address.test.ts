/** Addresses of proxies on the way: what is read, what is refused, and what people get to see. */
import { test } from "tap"
import { isForwarded, parseVia, viaForPeople } from "../../../lib/proxy/io/via-address.ts"

test("a proxy is a scheme, credentials, a host and a port, each of which has its usual value", async (t) => {
  for (const [text, scheme, host, port, credentials] of [
    ["http://proxy", "http", "proxy", 80, undefined],
    ["https://Proxy.:8443/", "https", "proxy", 8443, undefined],
    ["socks5://[::1]", "socks5", "::1", 1080, undefined],
    ["socks5h://10.0.0.1:9", "socks5", "10.0.0.1", 9, undefined],
    ["http://me:p%40ss%3A@h:1", "http", "h", 1, { user: "me", password: "p@ss:" }],
    ["http://me:100%@h:1", "http", "h", 1, { user: "me", password: "100%" }],
    ["http://me:50%%2F%c3%a9%zz%ff@h:1", "http", "h", 1, { user: "me", password: "50%/é%zz%ff" }],
    ["http://token@h:1", "http", "h", 1, { user: "token", password: "" }],
    ["http://:p@h:1", "http", "h", 1, { user: "", password: "p" }],
  ] as const)
    t.strictSame(parseVia(text), { scheme, host, port, credentials }, text)
})

test("what is no proxy is none, and nothing of it is shown", async (t) => {
  for (const text of [
    "",
    "proxy",
    "proxy:3128",
    "ftp://h",
    "socks4://h",
    "http://h/p",
    "http://h?x",
    "http://h:0",
    "http://a..b/",
  ]) {
    t.equal(parseVia(text), undefined, text)
    t.equal(viaForPeople(text), "the upstream proxy")
  }
  t.equal(viaForPeople("http://me:secret@h:1"), "h:1")
})

test("only an HTTP proxy gets requests as they are, and only those without TLS", async (t) => {
  t.equal(isForwarded("http://h", "http"), true)
  t.equal(isForwarded("https://h", "http"), true)
  t.equal(isForwarded("http://h", "https"), false)
  t.equal(isForwarded("socks5://h", "http"), false)
  t.equal(isForwarded(undefined, "http"), false)
})
