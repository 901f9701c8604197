/** Name constraints written, read back and applied. That clients enforce them is shown in ca.test.ts. */
import { test } from "tap"
import { constraintsFor, permits, readConstraints, sameConstraints, writeConstraints } from "../../certs/constraints.ts"
import { encode, sequence, tagged } from "../../certs/der.ts"
import { parseHostName } from "../../certs/name.ts"

const allowed = (permit: string[], host: string) => permits(constraintsFor(permit), parseHostName(host))

test("a permitted name permits itself and the names below it", async (t) => {
  for (const host of ["openai.com", "api.openai.com", "a.b.openai.com", "OPENAI.com."]) {
    t.equal(allowed(["openai.com"], host), true, host)
  }
  for (const host of ["com", "notopenai.com", "openai.com.evil.org", "10.0.0.1", "::1"]) {
    t.equal(allowed(["openai.com"], host), false, host)
  }
})

test("permitting addresses alone permits no names, and the other family no addresses", async (t) => {
  t.equal(allowed(["10.0.0.1"], "10.0.0.1"), true)
  t.equal(allowed(["10.0.0.1"], "10.0.0.2"), false)
  t.equal(allowed(["10.0.0.1"], "::1"), false)
  t.equal(allowed(["10.0.0.1"], "localhost"), false)
  t.equal(allowed(["::1"], "[::1]"), true)
  t.equal(allowed(["::1"], "127.0.0.1"), false)
  t.equal(allowed(["::1", "localhost"], "a.localhost"), true)
})

test("a leading wildcard or dot means the name and what is below it", async (t) => {
  t.ok(sameConstraints(constraintsFor(["*.openai.com"]), constraintsFor(["openai.com"])))
  t.ok(sameConstraints(constraintsFor([".openai.com"]), constraintsFor(["openai.com"])))
  t.throws(() => constraintsFor(["a*b"]), { code: "bad-host-name" })
})

test("what is written is read back the same", async (t) => {
  for (const permit of [["openai.com"], ["10.0.0.1", "::1"], ["a.test", "10.0.0.1"], ["b.test", "a.test"]]) {
    const constraints = constraintsFor(permit)
    t.ok(sameConstraints(readConstraints(encode(writeConstraints(constraints))), constraints), permit.join(" "))
  }
})

test("the order of names makes no difference, a name does", async (t) => {
  t.ok(sameConstraints(constraintsFor(["a.test", "b.test"]), constraintsFor(["b.test", "a.test"])))
  t.notOk(sameConstraints(constraintsFor(["a.test"]), constraintsFor(["a.test", "b.test"])))
  t.notOk(sameConstraints(constraintsFor(["a.test"]), undefined))
  t.ok(sameConstraints(undefined, undefined))
})

test("another's constraints are understood: excluded names, ranges, leading dots, other types", async (t) => {
  const email = sequence(tagged(1, Buffer.from("a@b.test")))
  const permitted = [
    email,
    sequence(),
    sequence(tagged(2, Buffer.from(".Corp.test"))),
    sequence(tagged(7, Buffer.from("0a000000ff000000", "hex"))),
  ]
  const excluded = [sequence(tagged(2, Buffer.from("secret.corp.test")))]
  const constraints = readConstraints(encode(sequence(tagged(0, permitted), tagged(1, excluded))))
  const verdicts: [host: string, verdict: boolean][] = [
    ["a.corp.test", true],
    ["corp.test", false],
    ["secret.corp.test", false],
    ["x.secret.corp.test", false],
    ["10.255.0.1", true],
    ["11.0.0.1", false],
  ]
  for (const [host, verdict] of verdicts) t.equal(permits(constraints, parseHostName(host)), verdict, host)
})
