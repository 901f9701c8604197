import { test } from "tap"
import { OwnCertificates } from "../../certs/own.ts"
import { sharedCertificates } from "../helpers/test-proxy.ts"

test("the exact name wins over a wildcard, and that over everything", async (t) => {
  const { chainFor } = await sharedCertificates()
  const pair = chainFor("a.test")
  const own = new OwnCertificates([
    { names: ["a.test", "::1"], ...pair },
    { names: ["*.a.test"], ...pair },
  ])
  t.ok(own.contextFor("A.test."))
  t.ok(own.contextFor("[::1]"))
  t.ok(own.contextFor("b.a.test"))
  t.not(own.contextFor("a.test"), own.contextFor("b.a.test"))
  for (const other of ["c.b.a.test", "b.test", "test", "*.a.test", ""]) t.equal(own.contextFor(other), undefined, other)
  const everything = new OwnCertificates([{ names: ["*", "*"], ...pair }])
  t.ok(everything.contextFor("x.y.z"))
  t.equal(new OwnCertificates([]).contextFor("a.test"), undefined)
})
