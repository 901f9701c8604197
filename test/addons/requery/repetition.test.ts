import assert from "node:assert/strict"
import { test } from "tap"
import { endsInLoop, LoopDetector } from "../../../addons/requery/repetition.ts"
import { areAlike, isQuestion } from "../../../addons/requery/similarity.ts"
import { isThinking, spoken } from "../../../addons/requery/spoken.ts"

test("a loop is eight rounds and 240 characters; without a letter 32 rounds and 1,024", async () => {
  const round = "thirty characters are a round." // 30
  assert.equal(endsInLoop(`begin ${round.repeat(8)}`), true)
  assert.equal(endsInLoop(`begin ${round.repeat(7)}`), false)
  assert.equal(endsInLoop("no ".repeat(79)), false)
  assert.equal(endsInLoop("no ".repeat(80)), true)
  assert.equal(endsInLoop("0, ".repeat(300)), false)
  assert.equal(endsInLoop("0, ".repeat(342)), true)
  assert.equal(endsInLoop(`${round.repeat(20)} and then it ends`), false)
  assert.equal(endsInLoop("x".repeat(100_000)), true)
})

test("a loop is told within 512 characters of being one, however the text is cut", async () => {
  const text = `A beginning that is like nothing else.\n${"Round and round it goes. ".repeat(100)}`
  for (const size of [1, 7, 100, 255, 256, 257, text.length]) {
    const detector = new LoopDetector()
    let at = 0
    while (at < text.length && !detector.feed(text.slice(at, at + size))) at += size
    assert.ok(at < 40 + 240 + 512, `in pieces of ${size}: at ${at}`)
  }
})

test("of a long piece only its end is looked at, once", async () => {
  const loop = "Round and round it goes. ".repeat(400)
  assert.equal(new LoopDetector().feed(loop), true)
  const detector = new LoopDetector()
  const rest = Array.from({ length: 2_000 }, (_, i) => `line ${i}`).join("\n")
  assert.equal(detector.feed(loop + rest), false)
  assert.equal(detector.feed("and on it goes.".repeat(40)), true)
})

test("a question is short, ends in a question mark and has five words", async () => {
  assert.deepEqual(
    [
      "Which colour should it have?",
      "**Which colour should it have?**\n",
      "Which one?",
      "It should be blue and green.",
      `${"word ".repeat(120)}?`,
    ].map(isQuestion),
    [true, true, false, false, false],
  )
})

test("questions are alike whatever their case and punctuation, and with a word changed in a long one", async () => {
  const question = "Which database should the application use to keep the notes of its users?"
  assert.equal(areAlike(question, question.toUpperCase().replace("?", " ?!")), true)
  assert.equal(areAlike(question, question.replace("users?", "user?")), true)
  assert.equal(areAlike(question, "Which colours should the application use to show the notes of its users?"), false)
  assert.equal(areAlike("", ""), false)
  assert.equal(areAlike("ab", "AB!"), true)
})

test("thoughts are set aside, also when a host has swallowed the first mark", async () => {
  assert.equal(spoken("<think>a</think>b"), "b")
  assert.equal(spoken("<thinking>a"), "")
  assert.equal(spoken("a\n</think>\nb"), "\nb")
  for (const text of ["b", "write </think> to end it", "in `<think>` and\n</think>"]) assert.equal(spoken(text), text)
  assert.equal(isThinking(" <think>a"), true)
  assert.equal(isThinking("<think>a</think>"), false)
})
