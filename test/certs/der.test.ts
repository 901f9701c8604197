/** The ASN.1 words against bytes written by hand from X.690. */
import { test } from "tap"
import * as der from "../../certs/der.ts"

test("each word is the bytes that X.690 says", async (t) => {
  const words: [value: der.Asn1, hex: string][] = [
    [der.integer(0), "020100"],
    [der.integer(127), "02017f"],
    [der.integer(128), "02020080"],
    [der.integer(Uint8Array.of(1, 2)), "02020102"],
    [der.boolean(true), "0101ff"],
    [der.boolean(false), "010100"],
    [der.nothing(), "0500"],
    [der.oid("2.5.29.15"), "0603551d0f"],
    [der.octets(Uint8Array.of(255, 0)), "0402ff00"],
    [der.bits(Uint8Array.of(6), 1), "03020106"],
    [der.utf8("é"), "0c02c3a9"],
    [der.bmp("é"), "1e0200e9"],
    [der.set(der.nothing()), "31020500"],
    [der.sequence(), "3000"],
    [der.tagged(0, [der.nothing()]), "a0020500"],
    [der.tagged(2, Buffer.from("a")), "820161"],
    [der.tagged(1, []), "a100"],
  ]
  for (const [value, hex] of words) {
    t.equal(der.encode(value).toString("hex"), hex)
    t.equal(der.encode(der.decode(Buffer.from(hex, "hex"))).toString("hex"), hex, "and reads back")
  }
})

test("time is UTCTime before 2050 and GeneralizedTime from then, in whole seconds", async (t) => {
  const text = (epochMs: number) => der.encode(der.time(epochMs)).toString("latin1")
  t.equal(text(Date.UTC(2026, 10, 20, 1, 2, 3, 999)), "\x17\x0d261120010203Z")
  t.equal(text(Date.UTC(2050, 0, 1) - 1), "\x17\x0d491231235959Z")
  t.equal(text(Date.UTC(2050, 0, 1)), "\x18\x0f20500101000000Z")
})

test("what is not one whole value is refused", async (t) => {
  for (const hex of ["", "30", "3005", "05000500", "020200"]) {
    t.throws(() => der.decode(Buffer.from(hex, "hex")), hex)
  }
})

test("asking a value for what it has not gives nothing", async (t) => {
  t.same(der.children(der.nothing()), [])
  t.same(der.children(undefined), [])
  t.equal(der.content(der.sequence()).length, 0)
  t.equal(der.dottedOid(der.nothing()), undefined)
  t.equal(der.dottedOid(der.oid("1.2.3")), "1.2.3")
  t.equal(der.contextTag(der.nothing()), undefined)
  t.equal(der.contextTag(der.tagged(3, [])), 3)
})
