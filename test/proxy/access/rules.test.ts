import { test } from "tap"
import { UsageError } from "../../../lib/base/errors.ts"
import { addressRange, proxyUser, proxyUsers } from "../../../lib/proxy/access/rules.ts"

const BCRYPT = `$2y$05$${"a".repeat(53)}`
const ARGON = `$argon2id$v=19$m=65536,t=3,p=4$${"A".repeat(22)}$${"A".repeat(43)}`

function refused(read: () => unknown): string {
  try {
    read()
  } catch (thrown) {
    if (thrown instanceof UsageError) return thrown.message
    throw thrown
  }
  return "accepted"
}

test("USER:PASS is cut at the first colon, and a mistake never shows the password", async (t) => {
  t.same(proxyUser("ann:a:b"), { name: "ann", secret: { kind: "password", text: "a:b" } })
  t.same(proxyUser("a:b"), { name: "a", secret: { kind: "password", text: "b" } })
  for (const text of ["hunter2", ":hunter2", "hunter2:"]) {
    t.equal(
      refused(() => proxyUser(text)),
      "--proxy-auth: write USER:PASS",
    )
  }
})

test("a password file holds bcrypt and argon2 hashes, comments and empty lines", async (t) => {
  const users = proxyUsers(`# people\r\nann:${BCRYPT}\r\n\r\n bob:${ARGON}\n`, "f")
  t.same(
    users.map(({ name, secret }) => [name, secret]),
    [
      ["ann", { kind: "hash", text: BCRYPT }],
      ["bob", { kind: "hash", text: ARGON }],
    ],
  )
  const many = Array.from({ length: 10_000 }, (_, index) => `${index}:${BCRYPT}`)
  t.equal(proxyUsers(many.join("\n"), "f").length, 10_000)
})

test("a line that is not understood is named by its number and never shown", async (t) => {
  const cases = [
    ["hunter2", /^--proxy-auth-file f: line 1: write user:hash/],
    [":hunter2", /line 1: write user:hash/],
    [`ann:${BCRYPT}\nbob:$apr1$hunter2$x`, /line 2: the hash is neither bcrypt nor argon2; make it with `htpasswd -B`/],
    ["ann:{SHA}hunter2", /neither bcrypt nor argon2/],
    ["ann:hunter2", /neither bcrypt nor argon2/],
    [`ann:${BCRYPT}x`, /neither bcrypt nor argon2/],
    [`ann:${BCRYPT}\nann:${ARGON}`, /line 2: this user stands there twice/],
    ["# nobody\n", /^--proxy-auth-file f: it names no user$/],
    [Array.from({ length: 10_001 }, (_, index) => `u${index}:${BCRYPT}`).join("\n"), /more than 10000 users/],
  ] as const
  for (const [text, expected] of cases) {
    const message = refused(() => proxyUsers(text, "f"))
    t.match(message, expected)
    t.notMatch(message, "hunter2")
  }
})

test("a hash that costs too much to check is refused, with its line and the limit, and never shown", async (t) => {
  const hashes = [`$${"a".repeat(53)}`, `$${"A".repeat(22)}$${"B".repeat(43)}`] as const
  const cases = [
    ["$2b$16", hashes[0], undefined],
    ["$2b$17", hashes[0], "bcrypt's cost is 17, and at most 16 is accepted"],
    ["$2y$31", hashes[0], "bcrypt's cost is 31, and at most 16 is accepted"],
    ["$argon2id$v=19$m=1048576,t=64,p=16", hashes[1], undefined],
    ["$argon2id$v=19$m=1048577,t=1,p=1", hashes[1], "(m, in KiB) is 1048577, and at most 1048576 is accepted"],
    ["$argon2i$v=19$m=4294967295,t=1,p=1", hashes[1], "(m, in KiB) is 4294967295, and at most 1048576 is accepted"],
    ["$argon2d$v=19$m=64,t=65,p=1", hashes[1], "iterations (t) is 65, and at most 64 is accepted"],
    ["$argon2id$v=19$m=64,t=4294967295,p=1", hashes[1], "iterations (t) is 4294967295, and at most 64 is accepted"],
    ["$argon2id$v=19$m=64,t=1,p=17", hashes[1], "parallelism (p) is 17, and at most 16 is accepted"],
    ["$argon2id$v=19$m=64,t=1,p=16777215", hashes[1], "parallelism (p) is 16777215, and at most 16 is accepted"],
  ] as const
  for (const [cost, rest, limit] of cases) {
    const message = refused(() => proxyUsers(`ann:${BCRYPT}\nbob:${cost}${rest}\n`, "f"))
    if (limit === undefined) t.equal(message, "accepted", cost)
    else {
      t.match(message, /^--proxy-auth-file f: line 2: /, cost)
      t.match(message, limit, cost)
      t.notMatch(message, "aaaa")
      t.notMatch(message, "AAAA")
      t.notMatch(message, "BBBB")
    }
  }
})

test("an address range is IPv4 or IPv6, and IPv4 in IPv6's clothes is IPv4", async (t) => {
  t.same(addressRange("192.168.0.0/16"), { address: "192.168.0.0", prefix: 16, family: "ipv4" })
  t.same(addressRange("10.0.0.7"), { address: "10.0.0.7", prefix: 32, family: "ipv4" })
  t.same(addressRange("2001:DB8::/32"), { address: "2001:db8::", prefix: 32, family: "ipv6" })
  t.same(addressRange("::ffff:10.0.0.0/104"), { address: "10.0.0.0", prefix: 8, family: "ipv4" })
  t.same(addressRange("::/0").prefix, 0)
  t.same(addressRange("::ffff:0.0.0.0/96"), { address: "0.0.0.0", prefix: 0, family: "ipv4" })
  const wider = { address: "::ffff:0.0.0.0", prefix: 95, family: "ipv6" }
  t.same(addressRange("::ffff:0.0.0.0/95"), wider, "more than IPv4's own range is IPv6's")
  for (const text of ["", "10.0.0.0/33", "2001:db8::/129", "10.0.0/8", "host.test", "10.0.0.0/", "10.0.0.0/8/8"])
    t.match(
      refused(() => addressRange(text)),
      new RegExp(`^--allow-clients ${text}: `),
    )
})
