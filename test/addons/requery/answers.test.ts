/**
 * Every guard over every set of answers in test/fixtures/answers, whole and streamed: no false alarm, and at least 95 of
 * 100 bad ones found. A set that was written blind has the figures that it has: they may only get better. All are printed.
 */
import tap, { test } from "tap"
import { answerSets, type CorpusAnswer } from "../../helpers/llm/answer-corpus.ts"
import { faultsOf } from "../../helpers/llm/requery-judge.ts"

const FOUND_MIN = 0.95
/** Sets by somebody who had not seen the guards: what they take for wrong, and how many of the bad ones they find. */
const BLIND: ReadonlyMap<string, { readonly wrong: readonly string[]; readonly found: number }> = new Map([
  ["second", { wrong: ["valid/lines_50_times.txt"], found: 43 }],
])
const TALK = {
  messages: [
    { role: "assistant", content: "Which of these files should I show to you first?" },
    { role: "user", content: "Go on." },
  ],
}
const JSON_REQUEST = { response_format: { type: "json_object" } }
const ADJECTIVE = { valid: "right", bad: "bad" }

interface Judged extends CorpusAnswer {
  readonly whole: boolean
  readonly streamed: boolean
  readonly why: string
}

function judged(answer: CorpusAnswer): Judged {
  const bodies = answer.asksForJson ? [TALK, JSON_REQUEST] : [TALK]
  const faults = bodies.map((body) => faultsOf(answer.text, body, answer.finish))
  return {
    ...answer,
    whole: faults.some(({ whole }) => whole.length > 0),
    streamed: faults.some(({ streamed, endedAt }) => streamed.length > 0 || endedAt !== undefined),
    why: faults.map(({ whole, streamed, endedAt }) => `${whole.join()} ${streamed.join()} ${endedAt}`).join("; "),
  }
}

/** A line for each kind of text: how many, how many were found fault with, whole and streamed. */
function figuresOf(set: string, answers: readonly Judged[]): string[] {
  const rows = (["valid", "bad"] as const).flatMap((kind) => {
    const ones = answers.filter((answer) => answer.kind === kind)
    const groups = new Map<string, Judged[]>()
    for (const one of ones) {
      const [group = one.what] = one.what.split(":")
      groups.set(group, [...(groups.get(group) ?? []), one])
    }
    return [
      [`${ADJECTIVE[kind]} answers, all`, ones] as const,
      // Where nearly every answer is of a kind of its own, a line for each says nothing.
      ...(groups.size * 2 > ones.length ? [] : [...groups].map(([what, some]) => [`  ${what}`, some] as const)),
    ]
  })
  const count = (ones: readonly Judged[], how: "whole" | "streamed") => ones.filter((one) => one[how]).length
  return rows.map(
    ([name, ones]) =>
      `${set.padEnd(12)}${name.padEnd(28)}${String(ones.length).padStart(5)}   rejected whole ${String(count(ones, "whole")).padStart(4)}   streamed ${String(count(ones, "streamed")).padStart(4)}`,
  )
}

for (const [set, answers] of answerSets()) {
  test(`no right answer of the set ${set} is rejected, and nearly every bad one is`, async (t) => {
    const all = answers.map(judged)
    const blind = BLIND.get(set)
    const isKnown = ({ name }: Judged) => blind?.wrong.some((file) => name.includes(file)) === true
    const wrong = all.filter((one) => one.kind === "valid" && (one.whole || one.streamed) && !isKnown(one))
    t.strictSame(
      wrong.map(({ name, why }) => `${name}: ${why}`),
      [],
    )
    const bad = all.filter(({ kind }) => kind === "bad")
    for (const how of ["whole", "streamed"] as const) {
      const missed = bad.filter((one) => !one[how])
      const found = bad.length - missed.length
      t.ok(
        found >= (blind?.found ?? bad.length * FOUND_MIN),
        `${how}: ${found} of ${bad.length}; not ${missed.map(({ name }) => name).join("\n")}`,
      )
    }
    for (const line of figuresOf(set, all)) tap.comment(`figures: ${line}`)
  })
}

test("the first set is as large as it has to be", async (t) => {
  const answers = answerSets().get("packages") ?? []
  const of = (kind: string) => answers.filter((one) => one.kind === kind).length
  t.ok(of("valid") >= 300 && of("bad") >= 150, `${of("valid")}, ${of("bad")}`)
  const languages = new Set(answers.flatMap(({ what }) => (what.startsWith("code: ") ? what : [])))
  const prose = new Set(answers.flatMap(({ what }) => (what.startsWith("prose: ") ? what : [])))
  t.ok(languages.size >= 12 && prose.size >= 8)
})
