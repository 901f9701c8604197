import { test } from "tap"
import { allows, claimsOf } from "../../../addons/shared/claims.ts"

test("claims are read as far as they are what they should be", (t) => {
  t.equal(claimsOf({ claims: undefined }), undefined)
  const scopes = { models: ["gpt-*"], upstreams: undefined, endpoints: [], services: undefined }
  const whole = { key: "k_1", owner: "ann", team: "sales", tags: ["a", "b"], admin: true, profile: "short" }
  t.same(claimsOf({ claims: { ...whole, scopes: { models: ["gpt-*"], endpoints: [] } } }), { ...whole, scopes })
  const none = { models: undefined, upstreams: undefined, endpoints: undefined, services: undefined }
  const nothing = { key: undefined, owner: undefined, team: undefined, tags: [], admin: false, profile: undefined }
  t.same(claimsOf({ claims: {} }), { ...nothing, scopes: none })
  const odd = { key: 1, owner: null, team: ["x"], tags: "a", admin: "true", scopes: ["gpt"], profile: {} }
  t.same(claimsOf({ claims: odd }), { ...nothing, scopes: none })
  t.same(claimsOf({ claims: { tags: ["a", 1, "b"] } })?.tags, ["a", "b"])
  t.end()
})

test("a glob fits a whole name, and no glob is no limit", (t) => {
  for (const [globs, name, expected] of [
    [undefined, "any", true],
    [[], "any", false],
    [["gpt-4o"], "gpt-4o", true],
    [["gpt-4o"], "gpt-4o-mini", false],
    [["gpt-*"], "gpt-", true],
    [["gpt-*"], "xgpt-4", false],
    [["*-mini"], "gpt-mini", true],
    [["*-mini"], "gpt-mini2", false],
    [["a*a"], "a", false],
    [["a*a"], "aa", true],
    [["a*b*c"], "a1b2c", true],
    [["a*b*c"], "a1c", false],
    [["a*bc*c"], "abc", false],
    [["*"], "", true],
    [["x", "g*"], "gemma", true],
    [["g.t"], "gpt", false],
  ] as const)
    t.equal(allows(globs, name), expected, `${JSON.stringify(globs)} ${name}`)
  t.end()
})
