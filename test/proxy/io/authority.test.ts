import { test } from "tap"
import {
  canonicalAddress,
  defaultPort,
  formatAuthority,
  hostAndPort,
  normalHost,
  parseAuthority,
} from "../../../lib/proxy/io/authority.ts"

test("host and port are read as programs write them", (t) => {
  const cases: readonly [string, string, number][] = [
    ["example.com", "example.com", 80],
    ["EXAMPLE.com:443", "example.com", 443],
    ["example.com.:8080", "example.com", 8080],
    ["example.com:", "example.com", 80],
    ["[::1]:8080", "::1", 8080],
    ["[2001:DB8::0001]", "2001:db8::1", 80],
    ["a_b.test:1", "a_b.test", 1],
    ["bücher.example:65535", "xn--bcher-kva.example", 65535],
  ]
  for (const [text, host, port] of cases) t.same(parseAuthority(text, 80), { host, port }, text)
  t.end()
})

test("what is no host and port is none", (t) => {
  const bad = [
    "",
    ":80",
    "a:0",
    "a:65536",
    "a:123456",
    "a:1x",
    "a b",
    "user@a:1",
    "a/b",
    "a?b",
    "a#b",
    "a\\b",
    "-a.test",
    "a..b",
    "..",
    "::1",
    "[::1",
    "[127.0.0.1]:1",
    "[::1%lo]:1",
    "[x]:1",
    "a\0.test",
    "1.2.3.4.5",
    "256.0.0.1",
    "0x1ffffffff",
    "4294967296",
    `${"a".repeat(64)}.test`,
    `${"a.".repeat(127)}test`,
  ]
  t.equal(normalHost(`${"a.".repeat(126)}b`)?.length, 253)
  t.equal(normalHost(`${"a.".repeat(126)}bc`), undefined, "254 octets are no name")
  for (const text of bad) t.equal(parseAuthority(text, 80), undefined, JSON.stringify(text))
  t.end()
})

test("an address is one text, however it is spelt", (t) => {
  const cases: readonly [string, string][] = [
    ["2130706433", "127.0.0.1"],
    ["0x7f.1", "127.0.0.1"],
    ["0x7F000001", "127.0.0.1"],
    ["0177.0.0.1", "127.0.0.1"],
    ["127.1", "127.0.0.1"],
    ["127.0.0.1.", "127.0.0.1"],
    ["0", "0.0.0.0"],
    ["127.0.0.1", "127.0.0.1"],
    ["::FFFF:7f00:1", "127.0.0.1"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["00", "0.0.0.0"],
  ]
  for (const [text, address] of cases) t.equal(normalHost(text), address, text)
  t.equal(canonicalAddress("0:0:0:0:0:0:0:1"), "::1")
  t.equal(canonicalAddress("0000::0"), "::")
  t.equal(canonicalAddress("::ffff:127.0.0.1"), "127.0.0.1")
  t.equal(canonicalAddress("::FFFF:7f00:1"), "127.0.0.1")
  t.equal(canonicalAddress("0:0:0:0:0:ffff:7f00:0001"), "127.0.0.1")
  t.equal(canonicalAddress("fe80::1%eth0"), "fe80::1%eth0")
  t.equal(canonicalAddress("10.0.0.1"), "10.0.0.1")
  t.equal(canonicalAddress("api.test"), "api.test")
  t.end()
})

test("an authority is written with brackets and without the scheme's own port", (t) => {
  t.equal(formatAuthority("::1", 443, "https"), "[::1]")
  t.equal(formatAuthority("a.test", 80, "https"), "a.test:80")
  t.equal(hostAndPort("::1", 80), "[::1]:80")
  t.equal(defaultPort("http"), 80)
  t.equal(defaultPort("https"), 443)
  t.end()
})
