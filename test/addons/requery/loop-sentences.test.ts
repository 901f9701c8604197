import { test } from "tap"
import { DIFFERENT_MAX, SENTENCES } from "../../../addons/requery/loop-sentences.ts"
import { LoopDetector, loops } from "../../../addons/requery/repetition.ts"

const SUBJECTS = [
  "total",
  "answer",
  "number of ways",
  "first person",
  "table",
  "order",
  "product",
  "sum",
  "case",
  "rest",
  "limit",
]
const sentence = (index: number) => `So the ${SUBJECTS[index]} is what we need`

/** So many different sentences, in an order that never comes again, each with another mark behind it. */
function inAnyOrder(different: number, begin = "", mark = (_: number) => ". "): string {
  let state = 7
  const next = () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * different)
  }
  return Array.from({ length: SENTENCES + 20 }, (_, i) => begin + sentence(i < different ? i : next()) + mark(i)).join(
    "",
  )
}

test("few sentences, said again in any order, are a loop, and one more of them is none", (t) => {
  t.ok(loops(inAnyOrder(DIFFERENT_MAX), false))
  t.notOk(loops(inAnyOrder(DIFFERENT_MAX + 1), false))
  t.ok(
    loops(
      inAnyOrder(3, "", (i) => (i % 2 === 0 ? ".\n\n" : "!  ")),
      false,
    ),
    "with other marks and white space between",
  )
  t.end()
})

test("such a loop is found in a stream, at the same place whatever the pieces", (t) => {
  const text = inAnyOrder(4)
  const endOf = (size: number) => {
    const detector = new LoopDetector()
    for (let at = 0; at < text.length; at += size) if (detector.feed(text.slice(at, at + size))) return at + size
    return undefined
  }
  const first = endOf(1)
  if (first === undefined) throw new Error("not found")
  t.ok(first < text.length)
  for (const size of [2, 3, 7, 64]) t.equal(endOf(size), Math.ceil(first / size) * size, `${size}`)
  t.end()
})

test("what is no prose is no circle of sentences", (t) => {
  const forms: Record<string, string> = {
    "in a fence": `\`\`\`\n${inAnyOrder(4)}`,
    "entries of a list": inAnyOrder(4, "* ", () => ".\n"),
    "comments in code": inAnyOrder(4, "  # ", () => ".\n"),
    "names of code": inAnyOrder(4, "", () => ".x").replaceAll(" ", "."),
    headings: inAnyOrder(4, "", () => "\n"),
    "sentences of three words": inAnyOrder(4).replaceAll("what we need", "").replaceAll("So the ", ""),
  }
  for (const [name, text] of Object.entries(forms)) t.notOk(loops(text, false), name)
  t.end()
})

test("a number counts up in the digits of any script", (t) => {
  for (const zero of ["0", "\u0660", "\u06f0", "\u0966", "\u0e50", "\uff10"]) {
    const first = zero.codePointAt(0) ?? 0
    const written = (value: number) =>
      [...String(value)].map((digit) => String.fromCodePoint(first + Number(digit))).join("")
    const text = Array.from(
      { length: 60 },
      (_, i) =>
        `${written(i + 3)}. \u0627\u0644\u0642\u0631\u0627\u0621\u0629 \u062a\u0633\u0627\u0639\u062f \u0639\u0644\u0649 \u0632\u064a\u0627\u062f\u0629 \u0627\u0644\u0645\u0639\u0631\u0641\u0629.\n`,
    )
    t.ok(loops(text.join(""), true), zero)
  }
  t.notOk(
    loops("\u2167. The next of these is a numeral.\n".repeat(4), false),
    "a numeral that is no digit is no number",
  )
  t.end()
})
