/** What doctor says of --mode transparent: whether destinations are known, and the packet filter's rules. */
import { test } from "tap"
import { checkRedirect, redirectRules } from "../../../lib/cli/doctor/redirect.ts"
import { main } from "../../../lib/cli/main.ts"
import { CORE_OPTIONS, type CoreValues } from "../../../lib/options/core.ts"
import { resolveOptions } from "../../../lib/options/resolve.ts"
import { NO_SOURCES } from "../../../lib/options/sources.ts"
import { makePatient } from "../../helpers/patient.ts"
import { FakeWorld } from "../../helpers/world.ts"

function valuesOf(flags: Record<string, unknown>): CoreValues {
  return resolveOptions(undefined, CORE_OPTIONS, { ...NO_SOURCES, flags })
}

test("nothing is said where no listener is transparent", async (t) => {
  const { patient } = makePatient()
  t.strictSame(await checkRedirect(patient), [])
  t.equal(redirectRules(valuesOf({ mode: ["regular", "socks5@1080"] }), 1_000), "")
})

test("whether the system tells destinations is told, with what to do where it does not", async (t) => {
  const { patient } = makePatient({ values: valuesOf({ mode: ["transparent"] }) })
  const kernel = async () => ({ kind: "kernel", destinationOf: () => undefined }) as const
  t.match(await checkRedirect(patient, kernel), [{ mark: "good", text: /tells where redirected connections/ }])
  const names = async () => ({ kind: "names", why: "no koffi" }) as const
  t.match(await checkRedirect(patient, names), [
    { mark: "note", text: /no koffi: hosts are known by SNI/, fix: /npm install koffi/ },
  ])
})

test("the rules leave the proxy's own user and this machine's addresses alone, each family where it is served", async (t) => {
  const local = redirectRules(valuesOf({ mode: ["transparent"] }), 1_000)
  t.match(local, "meta skuid 1000 return # who runs llmproxy\n    fib daddr type local return\n")
  t.match(local, "meta nfproto ipv4 tcp dport { 80, 443 } redirect to :8080\n")
  t.notMatch(local, "prerouting", "other machines do not reach a loopback address")
  t.match(
    redirectRules(valuesOf({ mode: ["transparent@[::1]:9"] }), 0),
    "meta nfproto ipv6 tcp dport { 80, 443 } redirect to :9",
  )
  const gateway = redirectRules(valuesOf({ mode: ["transparent@0.0.0.0:8081"] }), undefined)
  t.match(gateway, /skuid llmproxy return/)
  t.match(gateway, /chain prerouting \{[^}]*hook prerouting priority -100;[^}]*nfproto ipv4 [^}]*\} redirect to :8081/)
  t.match(
    redirectRules(valuesOf({ mode: ["transparent@[::]:8081"] }), 0),
    /\n {4}tcp dport \{ 80, 443 \} redirect to :8081/,
  )
})

test("llmproxy doctor -m transparent prints them behind its findings, and runs nothing", async (t) => {
  const home = t.testdir()
  const world = new FakeWorld({ home, cwd: home, env: {} })
  await main(["doctor", "-p", "0", "-m", "transparent@8099", "--base-upstream", "http://127.0.0.1:1"], world)
  t.match(world.out.text, /transparent: /)
  t.match(world.out.text, /broken\.\n\n# Rules that lead connections to 127\.0\.0\.1:8099/)
  t.match(world.out.text, /\n\}\n$/)
})
