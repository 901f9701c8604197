/** One budget for all that is asked about a host before a request goes there, and what became of questions in vain. */
import type { Socket } from "node:net"
import { test } from "tap"
import { Patience, QUESTIONS_MS } from "../../../addons/conductor/patience.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import type { OriginRequest } from "../../../lib/testing/origin.ts"
import { startRig } from "../../helpers/conductor-rig.ts"
import { hello, hostNamed, scripted } from "../../helpers/hosts/local-hosts.ts"
import { until } from "../../helpers/hosts/proxy-host.ts"

test("only the time in which questions are asked counts", async (t) => {
  const clock = new ManualClock(0)
  const patience = new Patience(clock)
  clock.advance(60_000)
  t.equal(patience.leftMs, QUESTIONS_MS)
  await patience.during(async () => {
    clock.advance(700)
    t.equal(patience.leftMs, QUESTIONS_MS - 700, "also while one runs")
  })
  clock.advance(60_000)
  t.equal(patience.leftMs, QUESTIONS_MS - 700)
  const failed = patience.during(async () => {
    clock.advance(9_000)
    throw new Error("no")
  })
  await t.rejects(failed, /no/)
  t.equal(patience.leftMs, 0)
})

test("what is good to have is waited for no longer than is left, and its wait counts", async (t) => {
  const clock = new ManualClock(0)
  const patience = new Patience(clock)
  await patience.upTo(500, Promise.resolve())
  t.equal(patience.leftMs, QUESTIONS_MS)
  const never = new Promise<void>(() => {})
  const first = patience.upTo(500, never)
  clock.advance(500)
  await first
  t.equal(patience.leftMs, QUESTIONS_MS - 500)
  const second = patience.upTo(QUESTIONS_MS, never)
  clock.advance(QUESTIONS_MS - 500)
  await second
  t.equal(patience.leftMs, 0)
})

/** The pages that each kind is asked for before its first request, in turn. */
const STEPS = [
  ["llama.cpp", ["/v1/models", "/props", "/tokenize"], "/v1/completions"],
  ["vLLM", ["/v1/models", "/tokenize"], "/v1/completions"],
  ["llama-cpp-python", ["/v1/models", "/extras/tokenize/count"], "/v1/completions"],
  ["LM Studio", ["/v1/models", "/api/v0/models"], "/v1/completions"],
  ["Ollama", ["/v1/models", "/api/version", "/api/ps", "/api/show"], "/api/generate"],
] as const

for (const [name, steps, path] of STEPS) {
  test(`${name}: the first request is held up for two seconds at most, wherever its host stalls`, async (t) => {
    const host = hostNamed(name)
    for (const [at, stalled] of steps.entries()) {
      const clock = new ManualClock(Date.now())
      const slow: (() => void)[] = []
      // A running Ollama tells its window by itself.
      const pages = name === "Ollama" ? { "/api/ps": { models: [] } } : {}
      const answer = scripted(host, { pages })
      const rig = await startRig(t, {
        clock,
        local: (request: OriginRequest, socket: Socket) => {
          const isStep = steps.some((step) => step === request.target)
          if (!isStep) return void socket.write(hello(request))
          slow.push(() => request.target !== stalled && answer(request, socket))
        },
      })
      const asked = rig.chat()
      // Each page before takes a while; the one that never comes gets what is left.
      for (let step = 0; step < at; step++) {
        await until(() => slow.length > step)
        clock.advance(300)
        slow[step]?.()
      }
      await until(() => slow.length > at)
      const left = QUESTIONS_MS - 300 * at
      const isModelAsked = () => rig.local?.requests.some(({ target, method }) => method === "POST" && target === path)
      clock.advance(left - 1)
      t.notOk(isModelAsked(), `${stalled}: its time is not over`)
      clock.advance(1)
      const response = await asked
      t.equal(response.status, 200, `${stalled} stalls`)
      t.equal(response.headers.get("x-llmproxy-route"), "local")
      t.equal(slow.length, at + 1, "nothing more is asked once the time is over")
      await rig.app.stop()
    }
  })
}
