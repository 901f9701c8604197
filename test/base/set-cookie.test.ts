import assert from "node:assert/strict"
import { test } from "tap"
import { parseSetCookie } from "../../lib/base/set-cookie.ts"

const BARE = {
  domain: undefined,
  path: undefined,
  expires: undefined,
  maxAge: undefined,
  secure: false,
  httpOnly: false,
  sameSite: undefined,
}

test("Set-Cookie is read as browsers read it: what is odd costs an attribute, or the cookie", async () => {
  const full =
    "id=a=b; Domain=.Example.TEST; Path=/x; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Max-Age=-1; Secure; HttpOnly; SameSite=Lax"
  const cases: [string, object | undefined][] = [
    ["a=1", { name: "a", value: "1", ...BARE }],
    [' a = "x y" ;', { name: "a", value: '"x y"', ...BARE }],
    ["a=", { name: "a", value: "", ...BARE }],
    [
      full,
      {
        name: "id",
        value: "a=b",
        domain: "example.test",
        path: "/x",
        expires: 1_445_412_480_000,
        maxAge: -1,
        secure: true,
        httpOnly: true,
        sameSite: "lax",
      },
    ],
    ["a=1; path=x; expires=never; max-age=1.5; samesite=odd; domain=; other", { name: "a", value: "1", ...BARE }],
    ["a=1; PATH=/x; path=/y; __proto__=z", { name: "a", value: "1", ...BARE, path: "/y" }],
    ["novalue", undefined],
    ["=x", undefined],
    ["", undefined],
  ]
  for (const [raw, expected] of cases) {
    const cookie = parseSetCookie(raw)
    assert.deepEqual(cookie, expected && { ...expected, raw }, raw)
  }
})
