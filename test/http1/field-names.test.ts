import { test } from "tap"
import { lowerNameIn } from "../../lib/http1/field-names.ts"

const whole = (name: string) => lowerNameIn(name, 0, name.length)

test("a name is found in lower case where it stands, the first time and again", (t) => {
  const text = "GET / HTTP/1.1\r\nX-Stainless-Lang: js"
  const start = text.indexOf("X-")
  for (let round = 0; round < 3; round++)
    t.equal(lowerNameIn(text, start, text.indexOf(":", start)), "x-stainless-lang")
  t.equal(whole("x-stainless-LANG"), "x-stainless-lang")
  t.end()
})

test("what is no token is no name, however often it comes", (t) => {
  for (const bad of ["", "a b", "a\r", "\u00e9", "a(b", "a:b", "a\u0000"]) {
    t.equal(whole(bad), undefined, JSON.stringify(bad))
    t.equal(whole(bad), undefined, JSON.stringify(bad))
  }
  // No colon at all: the parser says so with an end before the start.
  t.equal(lowerNameIn("Host", 0, -1), undefined)
  t.end()
})

test("names that want the same place push each other out and are never taken for one another", (t) => {
  // Length, first, middle and last character are equal: they share a place.
  for (let round = 0; round < 3; round++)
    for (const name of ["abcde", "aXcXe", "aBcBe"]) t.equal(whole(name), name.toLowerCase())
  // Three times as many as there are places.
  const names = Array.from({ length: 6_144 }, (_, index) => `X-${index.toString(36)}-Y`)
  for (let round = 0; round < 2; round++) t.ok(names.every((name) => whole(name) === name.toLowerCase()))
  t.end()
})

test("a name that begins like a known one is another one", (t) => {
  t.equal(whole("Accept"), "accept")
  t.equal(lowerNameIn("Accept-Encoding: x", 0, 15), "accept-encoding")
  t.equal(lowerNameIn("Accept-Encoding: x", 0, 6), "accept")
  const long = `X-${"a".repeat(500)}`
  t.equal(whole(long), long.toLowerCase())
  t.equal(whole(long), long.toLowerCase())
  t.end()
})
