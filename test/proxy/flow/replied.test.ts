import assert from "node:assert/strict"
import { test } from "tap"
import type { Answer } from "../../../lib/api/flow.ts"
import { Headers } from "../../../lib/base/headers.ts"
import { asReplied, INCOMING } from "../../../lib/proxy/flow/replied.ts"
import { testFlow } from "../../../lib/testing/flows.ts"

async function strangeAnswer(): Promise<Answer> {
  const { flow } = await testFlow()
  const never = () => Promise.reject(new Error("nobody reads it"))
  return {
    flow,
    status: 200,
    headers: new Headers(),
    failure: undefined,
    deltas: async function* () {},
    completion: never,
    text: never,
    abort() {},
  }
}

test("an answer is taken that can bring itself, and no object that looks like one", async () => {
  const strange = await strangeAnswer()
  assert.throws(() => asReplied(strange, {}), { name: "TypeError", message: /takes what flow.send\(\) resolved to/ })
  const given = { ...strange, [INCOMING]: () => Promise.reject(new Error("nobody asks")) }
  assert.deepEqual(asReplied(given, { model: "m" }), { kind: "answer", answer: given, options: { model: "m" } })
})

test("what would break the head throws when it is said", async () => {
  for (const status of [0, 100, 199, 1_000, 200.5, Number.NaN])
    assert.throws(() => asReplied({ status, text: "x" }, {}), RangeError, String(status))
  assert.equal(asReplied({ status: 299, text: "x" }, {}).kind, "reply")
  assert.throws(() => asReplied({ text: "x", headers: { "bad name": "x" } }, {}))
  const given = { ...(await strangeAnswer()), [INCOMING]: () => Promise.reject(new Error("nobody asks")) }
  assert.throws(() => asReplied(given, { headers: { "X-A": "a\r\nX-B: b" } }))
})
