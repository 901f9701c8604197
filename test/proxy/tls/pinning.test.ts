import { test } from "tap"
import { makeLogger } from "../../../lib/base/log.ts"
import { Pinning } from "../../../lib/proxy/tls/pinning.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

function pinning(passthrough: boolean) {
  const clock = new ManualClock()
  const lines: string[] = []
  const it = new Pinning(
    clock,
    makeLogger((line) => void lines.push(line)),
    passthrough,
  )
  return { it, clock, lines }
}

const CLIENT = { address: "192.0.2.1", host: "api.test", port: 443 }

test("a client that rejects our certificate is named once, with what to do", async (t) => {
  const { it, clock, lines } = pinning(false)
  it.rejected(CLIENT, "alert unknown ca")
  it.rejected(CLIENT, "alert unknown ca")
  t.same(lines, [
    "192.0.2.1: does not accept our certificate for api.test:443 (alert unknown ca); make this client trust llmproxy's CA " +
      "(see `llmproxy ca trust`), or, if it pins, leave the host alone: --ignore-hosts '^api\\.test:'",
  ])
  t.equal(it.isPinned(CLIENT), false, "which changes nothing unless that was asked for")
  it.rejected({ ...CLIENT, host: "other.test" }, "x")
  clock.advance(600_000)
  it.rejected(CLIENT, "alert unknown ca")
  t.equal(lines.length, 3)
})

test("a name that a shell would read is not put into a command", async (t) => {
  const { it, lines } = pinning(false)
  it.rejected({ ...CLIENT, host: "a';reboot;'" }, "x")
  t.match(lines[0], /--ignore-hosts RE$/)
})

test("with passthroughPinned that client's connections to that host are relayed for ten minutes", async (t) => {
  const { it, clock, lines } = pinning(true)
  it.rejected(CLIENT, "x")
  t.match(lines[0], "for 10 minutes it is relayed unseen")
  t.equal(it.isPinned(CLIENT), true)
  for (const other of [{ address: "192.0.2.2" }, { host: "b.test" }, { port: 8443 }])
    t.equal(it.isPinned({ ...CLIENT, ...other }), false)
  clock.advance(599_999)
  t.equal(it.isPinned(CLIENT), true)
  clock.advance(1)
  t.equal(it.isPinned(CLIENT), false)
})

test("a client that leaves silently means it the second time in a row", async (t) => {
  const { it, lines } = pinning(true)
  it.leftSilently(CLIENT)
  it.accepted(CLIENT)
  it.leftSilently(CLIENT)
  t.equal(it.isPinned(CLIENT), false)
  it.leftSilently(CLIENT)
  t.equal(it.isPinned(CLIENT), true)
  t.equal(lines.length, 1)
})

test("what is remembered is bounded", async (t) => {
  const { it } = pinning(true)
  it.rejected(CLIENT, "x")
  for (let count = 0; count < 1_000; count++) it.rejected({ ...CLIENT, host: `h${count}.test` }, "x")
  t.equal(it.isPinned(CLIENT), false)
})
