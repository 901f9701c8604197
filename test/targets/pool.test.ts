import { test } from "tap"
import type { Flow } from "../../lib/index.ts"
import { attemptsOf, contextOf } from "../../lib/targets/index.ts"
import type { TestAnswer } from "../../lib/testing/index.ts"
import { hostOf, type Rig, startRig, target } from "./rig.ts"

const LIMITED: TestAnswer = {
  status: 429,
  headers: { "Retry-After": "9" },
  error: { code: "rate_limit_exceeded", message: "slow" },
}
const DOWN: TestAnswer = { status: 503, error: { code: "x", message: "down" } }

/** Each host says its own. */
function say(rig: Rig, answers: Record<string, string | TestAnswer>): void {
  rig.addon.answer((asked) => answers[hostOf(asked)] ?? "Hello.")
}

test("one target is asked by the flow itself, with its model and key, and without the client's", async (t) => {
  const only = target("one", { model: "qwen", headers: { Authorization: "Bearer ours" } })
  const rig = await startRig([only])
  t.teardown(() => rig.addon.close())
  const { completion, headers } = await rig.addon.request({
    json: { model: "gpt-4o", messages: [{ role: "user", content: "Hi" }], seed: 1.0 },
    headers: { Authorization: "Bearer theirs", Cookie: "a=b", "x-llmproxy-upstream": "one" },
  })
  t.equal(completion?.text, "Hello.")
  t.equal(headers.get("x-llmproxy-route"), "one")
  const [asked] = rig.addon.asked
  t.equal(asked?.url, "http://one.test/v1/chat/completions")
  t.equal(asked?.headers.get("authorization"), "Bearer ours")
  t.strictSame([asked?.headers.has("cookie"), asked?.headers.has("x-llmproxy-upstream")], [false, false])
  t.match(asked?.json(), { model: "qwen", messages: [{ role: "user", content: "Hi" }] })
  t.equal(rig.addon.flows.length, 1, "no child flow")
  t.strictSame(rig.attempts(), ["one answered 200"])
})

test("the next target answers for one that fails before the first word", async (t) => {
  const failures: Record<string, string | TestAnswer> = {
    "no connection": { cut: true },
    "status 503": DOWN,
    "status 429": LIMITED,
    "cut before a word": { status: 200, headers: { "Content-Type": "text/event-stream" }, text: "data: {", cut: true },
    empty: { completion: { text: "" } },
    "an error in the stream": {
      status: 200,
      headers: { "Content-Type": "text/event-stream" },
      text: 'data: {"error":{"message":"overloaded","code":503}}\n\n',
    },
  }
  for (const [what, first] of Object.entries(failures)) {
    const rig = await startRig([target("one"), target("two", { model: "m2" })])
    say(rig, { one: first, two: "I am two." })
    const { status, completion, headers } = await rig.addon.chat("Hi", { stream: true })
    t.strictSame([status, completion?.text, headers.get("x-llmproxy-route")], [200, "I am two.", "two"], what)
    t.strictSame(rig.hosts(), ["one", "two"], what)
    t.match(rig.attempts().at(-1), /^one failed.*, two answered 200$/, what)
    t.match(headers.get("x-llmproxy-reason"), /^one: /, what)
    t.match(rig.addon.asked.at(-1)?.json(), { model: "m2" }, what)
    t.strictSame(rig.addon.log.errors, [])
    await rig.addon.close()
  }
})

test("nobody else is asked once a word has come", async (t) => {
  const rig = await startRig([target("one"), target("two")])
  t.teardown(() => rig.addon.close())
  say(rig, { one: { deltas: ["Hel"], cut: true } })
  const { text, broken } = await rig.addon.chat("Hi", { stream: true })
  t.match(text, /Hel/)
  t.type(broken, "string")
  t.strictSame(rig.hosts(), ["one"])
})

test("what is wrong with the request is not asked again elsewhere", async (t) => {
  for (const status of [400, 401, 404, 422]) {
    const rig = await startRig([target("one"), target("two")])
    say(rig, { one: { status, error: { code: "bad", message: "no" } } })
    const got = await rig.addon.chat("Hi")
    t.strictSame([got.status, got.error?.code, rig.hosts()], [status, "bad", ["one"]])
    t.equal(rig.pool.stateOf(target("one")).health, "well")
    await rig.addon.close()
  }
})

test("of all failures the client gets the one that tells it most, with its status and Retry-After", async (t) => {
  const rig = await startRig([target("one"), target("two")])
  t.teardown(() => rig.addon.close())
  say(rig, { one: LIMITED, two: { cut: true } })
  const got = await rig.addon.chat("Hi")
  t.strictSame([got.status, got.error?.message, got.headers.get("retry-after")], [429, "slow", "9"])
  rig.addon.clock.advance(60_000)
  say(rig, { one: LIMITED, two: DOWN })
  t.equal((await rig.addon.chat("Hi")).status, 503, "of equals the last")
  rig.addon.clock.advance(60_000)
  say(rig, { one: { cut: true }, two: { cut: true } })
  t.equal((await rig.addon.chat("Hi")).status, 502)
})

test("a target that has failed is asked last, until one request has found it well", async (t) => {
  const [one, two] = [target("one"), target("two")]
  const rig = await startRig([one, two])
  t.teardown(() => rig.addon.close())
  say(rig, { one: LIMITED })
  await rig.addon.chat("Hi")
  await rig.addon.chat("Hi")
  t.strictSame(rig.hosts(), ["one", "two", "two"])
  t.match(rig.pool.stateOf(one), { health: "resting", why: "slow", restMs: 9_000 }, "as long as it wants")
  rig.addon.clock.advance(9_000)
  let answer: () => void = () => {}
  const held = new Promise<void>((resolve) => {
    answer = resolve
  })
  let begun: () => void = () => {}
  const isTried = new Promise<void>((resolve) => {
    begun = resolve
  })
  rig.addon.answer(async (asked) => {
    if (hostOf(asked) === "one") {
      begun()
      await held
    }
    return "Well."
  })
  const trial = rig.addon.chat("Hi")
  await isTried
  t.equal(rig.pool.stateOf(one).health, "tried")
  await rig.addon.chat("Hi")
  t.equal(rig.hosts().at(-1), "two", "one request at a time tries it")
  answer()
  await trial
  t.equal(rig.pool.stateOf(one).health, "well")
  await rig.addon.chat("Hi")
  t.equal(rig.hosts().at(-1), "one")
})

test("a target that is alone is asked however it stands, and seen all the same", async (t) => {
  const one = target("one")
  const rig = await startRig([one])
  t.teardown(() => rig.addon.close())
  say(rig, { one: DOWN })
  const got = await rig.addon.chat("Hi")
  t.strictSame([got.status, got.error?.message], [503, "down"])
  t.match(rig.pool.stateOf(one), { health: "resting", why: "status 503" })
  say(rig, { one: { cut: true } })
  t.equal((await rig.addon.chat("Hi")).status, 502)
  say(rig, { one: "Well." })
  t.equal((await rig.addon.chat("Hi")).completion?.text, "Well.")
  t.equal(rig.pool.stateOf(one).health, "well")
  t.strictSame(rig.attempts(), ["one failed 503", "one failed", "one answered 200"])
})

test("that the server's key is refused is not the client's to hear", async (t) => {
  const key = { headers: { "x-api-key": "ours" } }
  const refused: TestAnswer = { status: 401, error: { code: "invalid_api_key", message: "Incorrect API key: ou**" } }
  const alone = await startRig([target("one", key)])
  say(alone, { one: refused })
  const routed = await alone.addon.chat("Hi")
  t.strictSame([routed.status, routed.error?.code], [502, "upstream_key_refused"])
  t.notMatch(routed.text, /ou\*\*/)
  await alone.addon.close()
  const rig = await startRig([target("one", key), target("two", key)])
  t.teardown(() => rig.addon.close())
  say(rig, { one: refused })
  t.equal((await rig.addon.chat("Hi")).completion?.text, "Hello.")
  t.equal(rig.pool.stateOf(target("one", key)).health, "resting")
  say(rig, { one: refused, two: refused })
  t.equal((await rig.addon.chat("Hi")).error?.code, "upstream_key_refused")
})

test("what is to stay local goes to local targets alone", async (t) => {
  const local = target("house", { isLocal: true })
  const rig = await startRig([target("cloud"), local])
  t.teardown(() => rig.addon.close())
  const ask = () => {
    const json = { model: "m", messages: [{ role: "user", content: "Hi" }] }
    return rig.addon.request({ json, headers: { "x-llmproxy-route": "local" } })
  }
  t.equal((await ask()).status, 200)
  t.strictSame(rig.hosts(), ["house"])
  rig.plan = { targets: [target("cloud"), target("other")] }
  const refused = await ask()
  t.strictSame([refused.status, refused.error?.code], [403, "stays-local"])
  t.match(refused.error?.message, /none of its targets is local: cloud, other/)
  t.equal(rig.hosts().length, 1)
})

test("requests wait for a target in their order, and who leaves makes room", async (t) => {
  const one = target("one", { concurrency: 1 })
  const rig = await startRig([one])
  t.teardown(() => rig.addon.close())
  const going: (() => void)[] = []
  const came: (() => void)[] = []
  const arrival = () => new Promise<void>((resolve) => void came.push(resolve))
  rig.addon.answer(async () => {
    came.shift()?.()
    await new Promise<void>((resolve) => void going.push(resolve))
    return "Done."
  })
  const first = arrival()
  const a = rig.addon.chat("a")
  await first
  const leaving = new AbortController()
  const json = { model: "m", messages: [{ role: "user", content: "b" }] }
  const b = rig.addon.request({ json, signal: leaving.signal })
  while (rig.pool.stateOf(one).waiting < 1) await new Promise((resolve) => setImmediate(resolve))
  const c = rig.addon.chat("c")
  while (rig.pool.stateOf(one).waiting < 2) await new Promise((resolve) => setImmediate(resolve))
  leaving.abort()
  await b
  t.match(rig.pool.stateOf(one), { serving: 1, waiting: 1 })
  const second = arrival()
  rig.addon.clock.advance(40)
  going.shift()?.()
  await a
  await second
  going.shift()?.()
  t.equal((await c).completion?.text, "Done.")
  t.match(rig.addon.asked.at(-1)?.text, /"c"/)
  t.strictSame(rig.pool.stateOf(one), { health: "well", why: undefined, restMs: 0, serving: 0, waiting: 0 })
  t.equal(rig.addon.asked.length, 2)
  const waited = rig.addon.flows.flatMap((flow) => attemptsOf(flow).map(({ waitedMs }) => waitedMs))
  t.strictSame(waited, [0, 40])
})

test("beyond a full line the next target is asked, and without one the client is to come again", async (t) => {
  const [one, two] = [target("one", { concurrency: 1, waiting: 0 }), target("two")]
  const rig = await startRig([one])
  t.teardown(() => rig.addon.close())
  let free: () => void = () => {}
  let busy: () => void = () => {}
  const isBusy = new Promise<void>((resolve) => {
    busy = resolve
  })
  rig.addon.answer(async (asked) => {
    if (hostOf(asked) === "two") return "I am two."
    busy()
    await new Promise<void>((resolve) => {
      free = resolve
    })
    return "Done."
  })
  const a = rig.addon.chat("a")
  await isBusy
  const refused = await rig.addon.chat("b")
  t.strictSame([refused.status, refused.error?.code, refused.headers.get("retry-after")], [503, "overloaded", "5"])
  rig.plan = { targets: [one, two] }
  const { completion, headers } = await rig.addon.chat("c")
  t.equal(completion?.text, "I am two.")
  t.equal(headers.get("x-llmproxy-reason"), "one: 1 run there and 0 wait")
  free()
  t.equal((await a).status, 200)
})

test("what is no chat is sent on to the next target as well, byte for byte", async (t) => {
  const rig = await startRig([target("one"), target("two", { model: "m2" })], {
    hook: "request",
    load: { program: {} },
  })
  t.teardown(() => rig.addon.close())
  const attempted: string[] = []
  const more = await startRig([target("one"), target("two", { model: "m2" })], {
    hook: "request",
    settings: { attempted: ({ target, result }) => void attempted.push(`${target} ${result}`) },
  })
  t.teardown(() => more.addon.close())
  more.addon.answer((asked) => (hostOf(asked) === "one" ? DOWN : { json: { data: [] } }))
  const got = await more.addon.request({ url: "http://h.test/v1/models", method: "GET" })
  t.strictSame([got.status, more.hosts(), attempted], [200, ["one", "two"], ["one failed", "two answered"]])
  rig.addon.answer({ json: { data: [] } })
  const body = '{"model": "text-embedding",  "input": 1.0}'
  await rig.addon.request({
    url: "http://h.test/v1/embeddings",
    text: body,
    headers: { "Content-Type": "application/json" },
  })
  t.strictSame(rig.hosts(), ["one"], "what was not collected goes to the first alone")
  t.equal(rig.addon.asked[0]?.text, body)
})

test("what is too long for one target is asked of one that takes more, and of none that takes no more", async (t) => {
  const [small, same, large] = [
    target("small", { context: 10 }),
    target("same", { context: 10 }),
    target("large", { context: 99 }),
  ]
  const rig = await startRig([small, same, large])
  t.teardown(() => rig.addon.close())
  const full: TestAnswer = {
    status: 400,
    error: { code: "context_length_exceeded", message: "maximum context length is 10" },
  }
  const contexts: (number | undefined)[] = []
  rig.addon.answer((asked) => (hostOf(asked) === "small" ? full : "Fits."))
  const got = await rig.addon.chat("Hi")
  t.strictSame([got.completion?.text, rig.hosts()], ["Fits.", ["small", "large"]])
  t.strictSame(rig.attempts(), ["small failed 400, same skipped, large answered 200"])
  t.equal(rig.pool.stateOf(small).health, "well", "nothing is wrong with it")
  for (const flow of rig.addon.flows) contexts.push(contextOf(flow))
  t.strictSame(contexts, [99, 99, 99], "the last that was asked")
  rig.plan = { targets: [large, small] }
  rig.addon.answer(full)
  t.equal((await rig.addon.chat("Hi")).error?.code, "context_length_exceeded")
  t.equal(rig.hosts().at(-1), "large")
})

test("what another addon answers, or sends elsewhere, tells nothing of the target and leaves its line", async (t) => {
  const one = target("one", { concurrency: 1 })
  let elsewhere = false
  const other = {
    name: "other",
    llmRequest(flow: Flow) {
      if (elsewhere) flow.route({ url: "http://two.test/v1/chat/completions" })
      else flow.respond({ status: 400, error: { code: "no", message: "no" } })
    },
  }
  const rig = await startRig([one], { load: { others: [other] } })
  t.teardown(() => rig.addon.close())
  t.equal((await rig.addon.chat("Hi")).status, 400)
  elsewhere = true
  rig.addon.answer((asked) => (hostOf(asked) === "two" ? DOWN : "Hello."))
  t.equal((await rig.addon.chat("Hi")).status, 503)
  t.strictSame([rig.hosts(), rig.attempts()], [["two"], ["one left", "one left"]])
  t.match(rig.pool.stateOf(one), { health: "well", serving: 0 })
})
