/** The lines before upstreams, in numbers. */
import { test } from "tap"
import metrics from "../../../addons/metrics.ts"
import { chat, startModels } from "./rig.ts"

test("who waits for an upstream is counted, and how long until their turn or until they left", async (t) => {
  const box = { url: "http://127.0.0.1:1234/v1", models: ["qwen3-4b"], concurrency: 1 }
  const going: (() => void)[] = []
  let came = () => {}
  const say = async () => {
    came()
    await new Promise<void>((resolve) => void going.push(resolve))
    return "Hello."
  }
  const addon = await startModels(t, { upstreams: { box }, routes: [] }, { say, others: [metrics] })
  const lines = async () => (await addon.request({ url: "/metrics" })).text.split("\n")
  const waiting = async (count: number) => {
    while (!(await lines()).includes(`models_queue_waiting{target="box"} ${count}`))
      await new Promise((resolve) => setImmediate(resolve))
  }
  const arrived = new Promise<void>((resolve) => {
    came = resolve
  })
  const first = addon.request(chat("qwen3-4b"))
  await arrived
  t.notOk(
    (await lines()).some((line) => line.startsWith("models_queue_seconds_count")),
    "nobody had to wait",
  )
  const leaving = new AbortController()
  const second = addon.request({ ...chat("qwen3-4b"), signal: leaving.signal })
  await waiting(1)
  const third = addon.request(chat("qwen3-4b"))
  await waiting(2)
  addon.clock.advance(2_000)
  leaving.abort()
  await second
  await waiting(1)
  addon.clock.advance(1_000)
  const next = new Promise<void>((resolve) => {
    came = resolve
  })
  going.shift()?.()
  t.equal((await first).status, 200)
  await next
  going.shift()?.()
  t.equal((await third).status, 200)
  const text = await lines()
  for (const line of [
    'models_queue_waiting{target="box"} 0',
    'models_queue_seconds_count{target="box"} 2',
    'models_queue_seconds_sum{target="box"} 5',
  ])
    t.ok(text.includes(line), line)
})
