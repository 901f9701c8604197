/** Every form in which a host name or address may arrive, and everything that is none. */
import fc from "fast-check"
import { test } from "tap"
import { parseHostName, shown } from "../../certs/name.ts"
import { FlowError } from "../../lib/base/errors.ts"

test("a DNS name is lower-cased, IDNA, without its final dot", async (t) => {
  const names: [given: string, text: string][] = [
    ["API.OpenAI.com", "api.openai.com"],
    ["example.com.", "example.com"],
    ["bücher.example", "xn--bcher-kva.example"],
    ["BÜCHER.example.", "xn--bcher-kva.example"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["my_host.local", "my_host.local"],
    ["localhost", "localhost"],
    ["127.1", "127.1"],
    ["0x7f.1", "0x7f.1"],
    ["2130706433", "2130706433"],
    [`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}.`, ""],
  ]
  for (const [given, text] of names) {
    const expected = text || given.slice(0, -1)
    t.same(parseHostName(given), { kind: "dns", text: expected }, given)
  }
})

test("an address is an address in whatever spelling, with its bytes in network order", async (t) => {
  const addresses: [given: string, text: string, hex: string][] = [
    ["127.0.0.1", "127.0.0.1", "7f000001"],
    ["10.1.2.255.", "10.1.2.255", "0a0102ff"],
    ["１２７.0.0.1", "127.0.0.1", "7f000001"],
    ["::1", "::1", "00000000000000000000000000000001"],
    ["::", "::", "00000000000000000000000000000000"],
    ["[::1]", "::1", "00000000000000000000000000000001"],
    ["[0:0:0:0:0:0:0:1]", "::1", "00000000000000000000000000000001"],
    ["2001:DB8::", "2001:db8::", "20010db8000000000000000000000000"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
    ["::ffff:10.0.0.1", "::ffff:a00:1", "00000000000000000000ffff0a000001"],
    ["[fe80::1%eth0]", "fe80::1", "fe800000000000000000000000000001"],
  ]
  for (const [given, text, hex] of addresses) {
    const name = parseHostName(given)
    t.equal(name.text, text, given)
    t.equal(name.kind === "ip" && name.bytes.toString("hex"), hex, given)
  }
})

test("what cannot stand in a certificate is refused, on one printable line", async (t) => {
  const refused: [given: string, why: RegExp][] = [
    ["", /empty label/],
    [".", /empty label/],
    ["a..b", /empty label/],
    [".example.com", /empty label/],
    ["*.example.com", /wildcard/],
    ["[*]", /wildcard/],
    ["a b.com", /characters that no host name has/],
    ["a/b", /characters that no host name has/],
    ["a\r\nb.com", /characters that no host name has/],
    ["a\0.com", /characters that no host name has/],
    ["[::1", /characters that no host name has/],
    ["é\0.com", /not a valid international name/],
    ["é".repeat(300), /not a valid international name/],
    [`${"a".repeat(64)}.com`, /label longer than 63/],
    [`${"a.".repeat(127)}aa`, /longer than 253/],
    ["x".repeat(100_000), /longer than 253/],
  ]
  for (const [given, why] of refused) {
    t.throws(
      () => parseHostName(given),
      { source: "client", code: "bad-host-name", status: 400, message: why },
      shown(given),
    )
    t.throws(() => parseHostName(given), { message: /^[\x20-\x7e]{1,600}$/ }, shown(given))
  }
})

test("no text crashes it: a name or a FlowError, and a name stays what it is", async () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.domain(), fc.ipV6(), fc.ipV4()), (given) => {
      try {
        const name = parseHostName(given)
        const again = parseHostName(name.text)
        return again.text === name.text && again.kind === name.kind
      } catch (error) {
        return error instanceof FlowError
      }
    }),
    { numRuns: 2_000 },
  )
})

test("a shown name is cut, and control characters are spelt out", async (t) => {
  t.equal(shown("a\u001b[31mé"), "a\\u001b[31m\\u00e9")
  t.equal(shown("x".repeat(81)), `${"x".repeat(80)}...`)
})
