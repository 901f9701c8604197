import assert from "node:assert/strict"
import { test } from "tap"
import { LoopDetector, loops } from "../../../addons/requery/repetition.ts"
import { areAlike, isQuestion } from "../../../addons/requery/similarity.ts"
import { isThinking, spoken } from "../../../addons/requery/spoken.ts"

/** The fewest rounds that are a loop, of a text that ends by itself. */
function fewest(round: string, before = "Of course.\n\n", wasCut = false): number {
  let [low, high] = [1, 8_192]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (loops(before + round.repeat(middle), wasCut)) high = middle
    else low = middle + 1
  }
  return low
}

test("how many rounds are a loop depends on what is repeated", async () => {
  const passage =
    "The notes are kept. A user reads them. Nobody writes what is wrong, and who does is told. Then we go on. "
  for (const [round, least, most] of [
    ["I will now write the file to the disk again. ", 8, 9],
    [passage.repeat(2).replace("user", "reader"), 6, 7],
    ["I am sorry, dear.\nI will do it now.\n", 12, 16],
    ["I will now write the file to the disk again.\n", 48, 50],
    ["over and over, ", 24, 25],
    ["no ", 64, 65],
    ["\u73b0\u5728\u6211\u518d\u5199\u4e00\u6b21\u8fd9\u4e2a\u6587\u4ef6\u3002", 8, 9],
    [".", 1_024, 1_024],
    ["\n", 398, 400],
    ["- check the file again\n", 150, 170],
    ["| a | b |\n", 110, 160],
    ["nop\n", 750, 750],
  ] as const) {
    const count = fewest(round)
    assert.ok(count >= least && count <= most, `${JSON.stringify(round)}: ${count}`)
  }
})

test("within a fence and an open JSON value far more rounds are needed, and where one stays open at the end fewer", async () => {
  const line = "    return callback(error)\n"
  assert.ok(!loops(`\`\`\`js\n${line.repeat(100)}\`\`\`\n`, false))
  assert.ok(loops(`\`\`\`js\n${line.repeat(20)}`, false), "the fence has not closed")
  assert.ok(!loops(`~~~\n\`\`\`\n~~~\n${"word, ".repeat(10)}`, false))
  assert.ok(!loops(`[${"null, ".repeat(3_000)}null]`, false))
  assert.ok(loops(`{"a": [${"null, ".repeat(200)}`, false))
  assert.ok(!loops(`{"a": "[", "b": "\\"", "c": [1]}${" The end of it. ".repeat(4)}`, false))
  assert.ok(
    fewest("I will write it all again now. ", "Yes.\n", true) <= fewest("I will write it all again now. ", "Yes.\n"),
  )
  assert.ok(loops(`Here:\n${"| a | b |\n".repeat(40)}`, true), "the host stopped at its limit")
  assert.ok(!loops(`Here:\n${"| a | b |\n".repeat(40)}`, false))
})

test("a number that counts up makes no other round; one that counts down, or that the rows of a table have, does", async () => {
  const counted = (make: (n: number) => string, times = 40) =>
    Array.from({ length: times }, (_, n) => make(n + 17)).join("")
  assert.ok(
    loops(
      counted((n) => `${n}. We should now check whether it runs.\n`),
      false,
    ),
  )
  assert.ok(
    loops(
      counted((n) => `Step ${n}: read the file and look at it again `),
      false,
    ),
  )
  assert.ok(
    !loops(
      counted((n) => `${n}. We should now check whether it runs.\n`, 12),
      false,
    ),
  )
  assert.ok(
    !loops(
      counted((n) => `${100 - n} bottles hang there on the wall. `),
      false,
    ),
    "it counts down",
  )
  assert.ok(
    !loops(
      counted((n) => `There were ${(n * 7_919) % 1_000} people in the year that came. `),
      false,
    ),
  )
  assert.ok(
    !loops(
      counted((n) => `| ${n} | the item of the day | 0 |\n`),
      false,
    ),
  )
  assert.ok(!loops(`\`\`\`\n${counted((n) => `const option${n} = ${n}\n`, 300)}\`\`\`\n`, false))
  assert.ok(loops(`\`\`\`\n${counted((n) => `const option${n} = ${n}\n`, 60)}`, true))
})

test("a loop is told soon, however the text is cut, and for ever after", async () => {
  const text = `A beginning that is like nothing else.\n${"Round and round it goes. ".repeat(100)}And then it ends.`
  const places = [1, 7, 100, 255, 256, 257].map((size) => {
    const detector = new LoopDetector()
    let at = 0
    while (at < text.length && !detector.feed(text.slice(at, at + size))) at += size
    assert.ok(at < 40 + 1_024, `in pieces of ${size}: at ${at}`)
    return detector.finish(false)
  })
  assert.deepEqual(new Set(places), new Set([true]))
})

test("of a long whole answer its end is looked at, as what stands there", async () => {
  const rest = Array.from({ length: 20_000 }, (_, i) => `line ${i * i}`).join("\n")
  assert.ok(!loops("Round and round it goes. ".repeat(400) + rest, false), "it has left that behind")
  assert.ok(loops(rest + "Round and round it goes. ".repeat(400), false))
  const row = "  return callback(error)\n"
  assert.ok(!loops(`\`\`\`\n${rest}\n${row.repeat(150)}\`\`\`\n`, false), "a fence that began long ago")
  assert.ok(loops(`\`\`\`\n${rest}\n${row.repeat(20)}`, false))
  assert.ok(!loops(`["${rest.replaceAll("\n", '", "')}", ${"0, ".repeat(600)}0]`, false), "a JSON value")
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
