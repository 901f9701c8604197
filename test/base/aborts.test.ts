/** Node warns of eleven listeners on one signal; where many are meant to wait, it does not. */
import assert from "node:assert/strict"
import { test } from "tap"
import { defineAddon } from "../../lib/api/addon.ts"
import { abortOfMany, expectMany } from "../../lib/base/aborts.ts"
import { loadAddon } from "../../lib/testing/load-addon.ts"

const MANY = 30

test("signals of ours, and those that sends are given, take as many listeners as there are", async (t) => {
  const warnings: Error[] = []
  const warned = (warning: Error) => void warnings.push(warning)
  process.on("warning", warned)
  t.teardown(() => process.off("warning", warned))
  const theirs = new AbortController()
  expectMany(theirs.signal)
  for (const { signal } of [abortOfMany(), theirs])
    for (let count = 0; count < MANY; count++) signal.addEventListener("abort", () => {})

  const stop = new AbortController()
  const addon = await loadAddon(
    defineAddon({
      name: "many",
      setup({ events, metrics, send }) {
        for (let count = 0; count < MANY; count++) metrics.counter({ name: `many_${count}_total`, help: "Counts." })
        return {
          async load() {
            for (let count = 0; count < MANY; count++) await events.subscribe(`event.${count}`, () => {})
          },
          async request(flow) {
            for (let count = 0; count < MANY; count++) flow.signal.addEventListener("abort", () => {})
            const sends = Array.from({ length: MANY }, () =>
              send({ json: {} }, { url: "http://other.test/", parent: flow, signal: stop.signal }),
            )
            await Promise.all(sends)
            flow.respond({ text: "all sent" })
          },
        }
      },
    }),
  )
  t.teardown(() => addon.close())
  assert.equal((await addon.request({ url: "http://some.test/" })).text, "all sent")
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(warnings, [])
})
