import { test } from "tap"
import { countedBy, estimated, roomFor, tooLong, whyCloud, whyLocal } from "../../../addons/conductor/decision.ts"

const LIMITS = { answerReserve: 1_024, limit: 8_192 }
const BY_OPTION = { value: 1.35, samples: 0 }
const measured = (tokens: number) => estimated(tokens, BY_OPTION)

test("room needed is tokens times the ratio plus the answer, at most the reserve", (t) => {
  t.equal(roomFor(measured(1_000), undefined, LIMITS).needed, 1_350 + 1_024)
  t.equal(roomFor(measured(1_000), 10, LIMITS).needed, 1_360)
  t.equal(roomFor(measured(1_000), 50_000, LIMITS).needed, 1_350 + 1_024)
  t.equal(roomFor(measured(1), undefined, LIMITS).needed, 1_026, "rounded up")
  t.end()
})

test("a host's own count takes the place of the estimate", (t) => {
  const room = roomFor(countedBy("vLLM", 1_000, 1_100), 10, LIMITS)
  t.equal(room.needed, 1_110)
  t.equal(room.tokens, 1_000)
  t.equal(whyLocal(room), "needs 1110 of 8192 tokens (counted by vLLM)")
  t.end()
})

test("a request is local if it needs less than the limit, not as much", (t) => {
  const limits = { answerReserve: 100, limit: 1_000 }
  const exact = (tokens: number) => estimated(tokens, { value: 1, samples: 0 })
  t.equal(roomFor(exact(899), undefined, limits).fits, true)
  t.equal(roomFor(exact(900), undefined, limits).fits, false)
  t.end()
})

test("what is left for the answer is the rest of the window, and never nothing", (t) => {
  t.equal(roomFor(measured(1_000), undefined, LIMITS).left, 8_192 - 1_350)
  t.equal(roomFor(measured(1), undefined, LIMITS).left, 8_190, "rounded down")
  t.equal(roomFor(measured(100_000), undefined, LIMITS).left, 1)
  t.end()
})

test("the reasons have the figures, and how surely they are known", (t) => {
  const room = roomFor(measured(6_000), undefined, LIMITS)
  t.equal(whyLocal(room), "needs 9124 of 8192 tokens")
  t.equal(whyCloud(room), "needs 9124 tokens, the local host takes less than 8192")
  t.match(
    tooLong(room, false),
    /maximum context length is 8192 tokens.*your messages resulted in 6000 tokens.*set OPENAI_API_KEY/,
  )
  t.notMatch(tooLong(room, true), "OPENAI_API_KEY", "what stays needs no key for the cloud")
  const learnt = roomFor(estimated(1_000, { value: 1.2, samples: 7 }), undefined, LIMITS)
  t.equal(whyLocal(learnt), "needs 2224 of 8192 tokens (tokens x 1.20, learnt from 7 answers)")
  t.end()
})
