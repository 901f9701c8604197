/** The less usual ways of a flow to its targets, and away from them. */
import { test } from "tap"
import type { Flow } from "../../lib/index.ts"
import { attemptsOf } from "../../lib/targets/index.ts"
import type { TestAnswer } from "../../lib/testing/index.ts"
import { authority } from "../../lib/testing/test-upstream.ts"
import { hostOf, startRig, target } from "./rig.ts"

const DOWN: TestAnswer = { status: 503, error: { code: "x", message: "down" } }
const MESSAGES = [{ role: "user", content: "Hi" }]

/** Settled from outside. */
function later(): { readonly done: Promise<void>; now(): void } {
  let now: () => void = () => {}
  const done = new Promise<void>((resolve) => {
    now = resolve
  })
  return { done, now: () => now() }
}

test("a key of the server's is not used for a page of another site, whatever the number of targets", async (t) => {
  const key = { headers: { Authorization: "Bearer ours" } }
  const rig = await startRig([target("one", key), target("two", key)])
  t.teardown(() => rig.addon.close())
  const ask = () =>
    rig.addon.request({ json: { model: "m", messages: MESSAGES }, headers: { "Sec-Fetch-Site": "cross-site" } })
  const refused = await ask()
  t.strictSame([refused.status, refused.error?.code], [403, "key-withheld"])
  rig.plan = { targets: [target("one", key), target("open")] }
  t.equal((await ask()).status, 200)
  t.strictSame(rig.hosts(), ["open"])
})

test("a client that leaves during an attempt is followed by no other", async (t) => {
  const one = target("one", { concurrency: 1 })
  const attempted: string[] = []
  const settings = {
    attempted: ({ target, result }: { target: string; result: string }) => void attempted.push(`${target} ${result}`),
  }
  const rig = await startRig([one, target("two")], { settings })
  t.teardown(() => rig.addon.close())
  const leaving = new AbortController()
  rig.addon.answer(() => {
    leaving.abort()
    return new Promise(() => {})
  })
  await rig.addon.request({ json: { model: "m", messages: MESSAGES }, signal: leaving.signal })
  t.strictSame([rig.hosts(), attempted], [["one"], ["one left"]])
  t.match(rig.pool.stateOf(one), { health: "well", serving: 0 }, "nothing is known of it, and it is free")
})

test("an attempt waits in its target's line, and a stream that waits is kept alive where that is wanted", async (t) => {
  const one = target("one", { concurrency: 1 })
  const rig = await startRig([one, target("two")], {
    plan: { keepAlive: "waiting for one" },
    load: { program: { keepAliveMs: 10 } },
  })
  t.teardown(() => rig.addon.close())
  const [came, go] = [later(), later()]
  rig.addon.answer(async () => {
    came.now()
    await go.done
    return "Done."
  })
  const first = rig.addon.chat("a")
  await came.done
  const second = rig.addon.chat("b", { stream: true })
  while (rig.pool.stateOf(one).waiting < 1) await new Promise((resolve) => setImmediate(resolve))
  rig.addon.clock.advance(10)
  go.now()
  await first
  const { text, completion } = await second
  t.match(text, /^: waiting for one/)
  t.equal(completion?.text, "Done.")
  t.strictSame(rig.hosts(), ["one", "one"])
  t.equal(attemptsOf(rig.addon.flows.at(-1) ?? { metadata: {} })[0]?.waitedMs, 10)
  rig.plan = { targets: [one], keepAlive: "waiting" }
  t.equal((await rig.addon.chat("c", { stream: true })).completion?.text, "Done.")
})

test("where all lines are full the client is told to come again", async (t) => {
  const full = { concurrency: 1, waiting: 0 }
  const rig = await startRig([target("one", full), target("two", full)])
  t.teardown(() => rig.addon.close())
  const go = later()
  let running = 0
  const both = later()
  rig.addon.answer(async () => {
    running++
    if (running === 2) both.now()
    await go.done
    return "Done."
  })
  const busy = [rig.addon.chat("a"), rig.addon.chat("b")]
  await both.done
  const { status, error, headers } = await rig.addon.chat("c", { stream: true })
  t.strictSame([status, error?.code, headers.get("retry-after")], [503, "overloaded", "5"])
  go.now()
  await Promise.all(busy)
  t.strictSame(
    rig
      .attempts()
      .filter((all) => all.includes("skipped"))
      .sort(),
    ["one skipped, two answered 200", "one skipped, two skipped"],
  )
})

test("what names a model and is no chat has the target's, and keeps its other characters", async (t) => {
  const rig = await startRig([target("one", { model: "there" })], { hook: "request" })
  t.teardown(() => rig.addon.close())
  const collecting = { name: "collecting", requestHeaders: (flow: Flow) => flow.request.collect() }
  const more = await startRig([target("one", { model: "there" }), target("two", { model: "other" })], {
    hook: "request",
    load: { others: [collecting] },
  })
  t.teardown(() => more.addon.close())
  const text = '{"model": "here",  "input": 1.0}'
  const asks = {
    url: "http://h.test/v1/embeddings?api_key=theirs",
    text,
    headers: { "Content-Type": "application/json" },
  }
  more.addon.answer((asked) => (hostOf(asked) === "one" ? DOWN : { json: { data: [] } }))
  t.equal((await more.addon.request(asks)).status, 200)
  t.strictSame(
    more.addon.asked.map(({ text }) => text),
    ['{"model": "there",  "input": 1.0}', '{"model": "other",  "input": 1.0}'],
  )
  t.equal(more.addon.asked[0]?.url, "http://one.test/v1/embeddings")
  more.plan = { targets: [target("one", { model: "there" })] }
  await more.addon.request(asks)
  t.equal(more.addon.asked.at(-1)?.text, '{"model": "there",  "input": 1.0}', "by the flow itself as well")
  await more.addon.request({ ...asks, text: "no JSON" })
  t.equal(more.addon.asked.at(-1)?.text, "no JSON")
  await rig.addon.request(asks)
  t.equal(rig.addon.asked.at(-1)?.text, text, "what was not collected is not read")
})

test("the caller may say where, with which bytes, and through what", async (t) => {
  const { certPem: ca } = await authority()
  const [one, two] = [target("one", { ca, via: "http://127.0.0.1:9" }), target("two", { ca, dialect: "openai-chat" })]
  const plan = {
    urlFor: ({ name }: { name: string }) => `http://${name}.test/other/chat/completions`,
    bodyFor: ({ name }: { name: string }) => Buffer.from(JSON.stringify({ model: name, messages: [] })),
    reason: "as told",
    name: "told",
    respond: { model: "shown" },
  }
  const rig = await startRig([one, two], {
    plan,
    settings: { timeoutMs: () => 1_000, cooldownMs: () => 7, random: () => 0 },
  })
  t.teardown(() => rig.addon.close())
  const { completion, headers } = await rig.addon.chat("Hi")
  t.equal(completion?.model, "shown")
  t.strictSame(
    [headers.get("x-llmproxy-route"), rig.hosts()],
    ["told", ["two"]],
    "nothing listens where the first is asked through",
  )
  t.match(headers.get("x-llmproxy-reason"), /^as told; one: /)
  t.match(rig.addon.asked[0]?.json(), { model: "two" })
  t.equal(rig.pool.stateOf(one).restMs, 7)
  rig.plan = { ...rig.plan, targets: [two], order: "weighted" }
  await rig.addon.chat("Hi")
  t.equal(rig.addon.asked.at(-1)?.url, "http://two.test/other/chat/completions")
  rig.plan = { ...rig.plan, targets: [one] }
  t.equal((await rig.addon.chat("Hi")).status, 502)
  rig.plan = { targets: [target("cloud")], name: "told" }
  const local = await rig.addon.request({
    json: { model: "m", messages: MESSAGES },
    headers: { "x-llmproxy-route": "local" },
  })
  t.strictSame([local.status, local.headers.get("x-llmproxy-route")], [403, "told"])
})

test("what is read on for a client that has left is not asked elsewhere when it fails", async (t) => {
  const left = later()
  const go = later()
  let end: () => void = () => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const draining = {
    name: "draining",
    requestHeaders: (flow: Flow) => {
      flow.onClientGone = "drain"
    },
    error: (flow: Flow) => {
      if (flow.parent === undefined) end()
    },
  }
  const rig = await startRig([target("one"), target("two")], { load: { others: [draining] } })
  t.teardown(() => rig.addon.close())
  const leaving = new AbortController()
  void left.done.then(() => leaving.abort())
  rig.addon.answer(async () => {
    left.now()
    await go.done
    return DOWN
  })
  await rig.addon.request({ json: { model: "m", messages: MESSAGES }, signal: leaving.signal })
  go.now()
  await ended
  t.strictSame(rig.hosts(), ["one"])
})
