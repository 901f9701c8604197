import { test } from "tap"
import { roomFor, tooLong, whyCloud, whyLocal } from "../../../addons/conductor/decision.ts"

const LIMITS = { tokenRatio: 1.35, answerReserve: 1_024, maxTokenCount: 8_192 }

test("room needed is tokens times the ratio plus the answer, at most the reserve", (t) => {
  t.equal(roomFor(1_000, undefined, LIMITS).needed, 1_350 + 1_024)
  t.equal(roomFor(1_000, 10, LIMITS).needed, 1_360)
  t.equal(roomFor(1_000, 50_000, LIMITS).needed, 1_350 + 1_024)
  t.equal(roomFor(1, undefined, LIMITS).needed, 1_026, "rounded up")
  t.end()
})

test("a request is local if it needs less than maxTokenCount, not as much", (t) => {
  const limits = { tokenRatio: 1, answerReserve: 100, maxTokenCount: 1_000 }
  t.equal(roomFor(899, undefined, limits).fits, true)
  t.equal(roomFor(900, undefined, limits).fits, false)
  t.end()
})

test("what is left for the answer is the rest of the window, and never nothing", (t) => {
  t.equal(roomFor(1_000, undefined, LIMITS).left, 8_192 - 1_350)
  t.equal(roomFor(1, undefined, LIMITS).left, 8_190, "rounded down")
  t.equal(roomFor(100_000, undefined, LIMITS).left, 1)
  t.end()
})

test("the reasons have the figures", (t) => {
  const room = roomFor(6_000, undefined, LIMITS)
  t.equal(whyLocal(room), "needs 9124 of 8192 tokens")
  t.equal(whyCloud(room), "needs 9124 tokens, the local host takes less than 8192")
  t.match(
    tooLong(room),
    /maximum context length is 8192 tokens.*your messages resulted in 6000 tokens.*set OPENAI_API_KEY/,
  )
  t.end()
})
