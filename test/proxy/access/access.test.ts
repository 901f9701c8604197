import { bcrypt } from "hash-wasm"
import { type Test, test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { Headers } from "../../../lib/base/headers.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { Access, type AccessRules } from "../../../lib/proxy/access/access.ts"
import { addressRange, proxyUser } from "../../../lib/proxy/access/rules.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

function access(t: Test, rules: Partial<AccessRules>) {
  const clock = new ManualClock()
  const lines: string[] = []
  const log = makeLogger((line) => void lines.push(line))
  const it = new Access({ proxyUsers: [], allowClients: [], ...rules }, clock, log)
  t.teardown(() => it.close())
  return { it, clock, lines }
}

function basic(text: string): Headers {
  return new Headers([["Proxy-Authorization", `Basic ${Buffer.from(text).toString("base64")}`]])
}

/** The user, or the status of the refusal. */
async function outcome(checking: ReturnType<Access["checkHeader"]>): Promise<string | number> {
  const checked = await checking
  return checked instanceof FlowError ? checked.status : checked.user
}

async function hashed(name: string, password: string): Promise<AccessRules["proxyUsers"][number]> {
  const text = await bcrypt({ password, salt: Buffer.alloc(16, 1), costFactor: 4, outputType: "encoded" })
  return { name, secret: { kind: "hash", text } }
}

test("without a rule only this machine's clients are admitted", async (t) => {
  const { it } = access(t, {})
  t.equal(it.required, false)
  for (const own of ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"]) t.equal(it.admits(own), true, own)
  for (const other of ["10.0.0.1", "192.168.1.1", "128.0.0.1", "2001:db8::1", "fe80::1%eth0", "0.0.0.0", "unknown", ""])
    t.equal(it.admits(other), false, other)
})

test("ranges admit their addresses, however they are spelt, and this machine's stay admitted", async (t) => {
  const { it } = access(t, {
    allowClients: ["10.0.0.0/8", "2001:db8::/32", "fe80::/10"].map((range) => addressRange(range)),
  })
  for (const one of ["10.1.2.3", "::ffff:10.1.2.3", "2001:DB8::9", "fe80::1%eth0", "127.0.0.1"])
    t.equal(it.admits(one), true, one)
  for (const other of ["11.0.0.1", "2001:db9::1", "::ffff:11.0.0.1"]) t.equal(it.admits(other), false, other)
})

test("with users everybody may come and has to authenticate, unless ranges say who", async (t) => {
  const users = [proxyUser("ann:secret")]
  t.equal(access(t, { proxyUsers: users }).it.admits("192.0.2.1"), true)
  const both = access(t, { proxyUsers: users, allowClients: [addressRange("10.0.0.0/8")] }).it
  t.equal(both.required, true)
  t.equal(both.admits("192.0.2.1"), false)
  t.equal(both.admits("10.0.0.1"), true)
})

test("Proxy-Authorization has to be one line of Basic credentials that are right", async (t) => {
  const { it } = access(t, { proxyUsers: [proxyUser("ann:se:cret é"), await hashed("bob", "other")] })
  const check = (headers: Headers) => outcome(it.checkHeader(headers, "127.0.0.1"))
  t.equal(await check(basic("ann:se:cret é")), "ann")
  t.equal(await check(basic("bob:other")), "bob")
  const lower = new Headers([["proxy-authorization", `bAsIc  ${Buffer.from("bob:other").toString("base64")}`]])
  t.equal(await check(lower), "bob")
  const twice = basic("bob:other")
  twice.append("Proxy-Authorization", "Basic eA==")
  for (const bad of [
    new Headers(),
    twice,
    basic("bob"),
    basic(":other"),
    new Headers({ "Proxy-Authorization": "Bearer x" }),
  ])
    t.equal(await check(bad), 407)
  t.equal(await check(basic("ann:other")), 407)
  t.equal(await check(basic(`ann:${"x".repeat(2_000)}`)), 407)
})

test("each failure after the fifth makes an address wait longer, and other addresses do not wait", async (t) => {
  const { it, clock, lines } = access(t, { proxyUsers: [proxyUser("ann:secret")] })
  const wrong = (address = "192.0.2.1") => outcome(it.checkHeader(basic(`ann:${++guess}`), address))
  let guess = 0
  for (let count = 0; count < 5; count++) t.equal(await wrong(), 407)
  t.equal(clock.pending, 0)
  for (const delay of [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]) {
    const attempt = wrong()
    t.equal(clock.pending, 1)
    clock.advance(delay - 1)
    t.equal(clock.pending, 1, `it waits for ${delay} ms`)
    clock.advance(1)
    t.equal(await attempt, 407)
  }
  const [first, second] = [wrong(), wrong()]
  t.equal(await second, 429, "attempts side by side do not help")
  t.equal(await outcome(it.checkHeader(basic("ann:secret"), "192.0.2.2")), "ann")
  clock.advance(8_000)
  t.equal(await first, 407)
  t.equal(lines.filter((line) => line.includes("wrong proxy user or password")).length, 1, "one line a minute")
  t.notMatch(lines.join(), "secret")
  clock.advance(900_000)
  t.equal(await wrong(), 407)
  t.equal(clock.pending, 0, "after a quarter of an hour failures are forgotten")
})

test("all addresses of an IPv6 network count as one", async (t) => {
  const { it, clock } = access(t, { proxyUsers: [proxyUser("ann:secret")] })
  for (const [index, host] of ["::1", "::2", ":0:0:0:3", "::4:5", ":a:b:c:d"].entries())
    t.equal(await it.authenticate("ann", `${index}`, `2001:db8:0:7${host}`), false)
  const slowed = it.authenticate("ann", "guess", "2001:db8:0:7::9%eth0")
  t.equal(clock.pending, 1)
  t.equal(await it.authenticate("ann", "guess", "2001:db8:0:8::9"), false)
  clock.advance(250)
  t.equal(await slowed, false)
})

test("a password that was right is not hashed again, and is let in however often others fail", async (t) => {
  const { it, clock } = access(t, { proxyUsers: [await hashed("ann", "secret")] })
  // Side by side they share one check.
  const many = await Promise.all(Array.from({ length: 20 }, () => it.authenticate("ann", "secret", "192.0.2.1")))
  t.ok(many.every((right) => right))
  for (let count = 0; count < 5; count++) await it.authenticate("ann", `guess ${count}`, "192.0.2.1")
  await it.close()
  t.equal(await it.authenticate("ann", "secret", "192.0.2.1"), true)
  t.equal(clock.pending, 0)
})

test("a user that does not exist takes a check as well", async (t) => {
  const { it } = access(t, { proxyUsers: [await hashed("ann", "secret")] })
  t.equal(await it.authenticate("nobody", "secret", "192.0.2.1"), false)
  const plain = access(t, { proxyUsers: [proxyUser("ann:secret")] })
  t.equal(await plain.it.authenticate("nobody", "secret", "192.0.2.1"), false)
})

test("where checks cannot be made the client hears of it", async (t) => {
  const { it } = access(t, { proxyUsers: [await hashed("ann", "secret")] })
  const checking = it.checkHeader(basic("ann:secret"), "192.0.2.1")
  await it.close()
  t.equal(await outcome(checking), 503)
})

test("attempts of all addresses together are bounded", async (t) => {
  const { it } = access(t, { proxyUsers: [await hashed("ann", "secret")] })
  const attempts = Array.from({ length: 300 }, (_, index) =>
    outcome(it.checkHeader(basic(`ann:${index}`), `10.0.0.${index}`)),
  )
  const results = new Set(await Promise.all(attempts))
  t.ok(results.has(429))
  t.ok(results.has(503))
})

test("an address that is turned away gets one line a minute", async (t) => {
  const { it, clock, lines } = access(t, {})
  for (let count = 0; count < 3; count++) it.turnedAway("192.0.2.1")
  it.turnedAway("192.0.2.2")
  t.equal(lines.length, 2)
  t.match(lines[0], /^192\.0\.2\.1: turned away: .*--allow-clients ADDRESS/)
  clock.advance(60_000)
  it.turnedAway("192.0.2.1")
  t.equal(lines.length, 3)
})
