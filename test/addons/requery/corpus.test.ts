/** No guard finds fault with answers that are right: real JSON, code and Markdown, and lists that may be empty. */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { faultsOf } from "../../helpers/llm/requery-judge.ts"
import { asking, FORMS } from "../../helpers/requery-rig.ts"

/** Models seldom write more in one answer. */
const CHARS_MAX = 40_000
const QUESTION = "Which of these files should I show to you first?"
/** What the guards have against `text` as the answer to a request; also what they would have ended while it streamed. */
function faults(text: string, body: object): string[] {
  const { whole, endedAt } = faultsOf(text, body)
  return [...whole, ...(endedAt === undefined ? [] : [`ended at ${endedAt}`])]
}

function filesIn(folder: string, wanted: RegExp, depth = 3): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return depth === 0 || entry.name.startsWith(".") ? [] : filesIn(path, wanted, depth - 1)
      return wanted.test(entry.name) && statSync(path).size <= CHARS_MAX ? [path] : []
    })
}

function texts(folder: string, wanted: RegExp, most: number, depth?: number): [string, string][] {
  const all = filesIn(folder, wanted, depth).map((path): [string, string] => [path, readFileSync(path, "utf8").trim()])
  return all.filter(([, text]) => text !== "").slice(0, most)
}

const talk = {
  messages: [
    { role: "assistant", content: QUESTION },
    { role: "user", content: "Go on." },
  ],
}
const json = { response_format: { type: "json_object" } }

test("real JSON, code and Markdown pass every guard, 300 answers and more", async (t) => {
  const packages = texts("node_modules", /^package\.json$/, 120, 1)
  const code = [...texts("lib", /\.ts$/, 120), ...texts("node_modules", /^index\.js$/, 60, 1)]
  const prose = texts("node_modules", /^(readme|license|changelog)(\.md|\.txt)?$/i, 160, 1)
  const plans = prose.slice(0, 60).map(([path, text]): [string, string] => {
    const steps = text.split("\n").filter((line) => line.trim() !== "")
    return [path, JSON.stringify({ plan: steps.slice(0, 40).map((description) => ({ description })) }, null, 1)]
  })
  for (const [path, text] of packages) t.strictSame(faults(text, json), [], path)
  for (const [path, text] of plans) t.strictSame(faults(text, asking(FORMS.developmentPlan)), [], path)
  for (const [path, text] of [...code, ...prose]) t.strictSame(faults(text, talk), [], path)
  for (const [path, text] of code.slice(0, 60))
    t.strictSame(faults(`Here:\n\`\`\`ts\n${text}\n\`\`\`\n`, talk), [], path)
  t.ok(packages.length + code.length + prose.length + plans.length >= 300)
})

test("lists that may be empty pass, forty of them and more", async (t) => {
  const cases: { form: string; answer: string }[] = JSON.parse(
    readFileSync("test/fixtures/requery/legitimate-empties.json", "utf8"),
  )
  const forms: Record<string, object> = FORMS
  for (const { form, answer } of cases) {
    const request = forms[form]
    t.strictSame(faults(answer, request === undefined ? talk : asking(request)), [], answer)
  }
  t.ok(cases.length >= 40)
})

test("what repeats itself and is right passes: tables, rulers, lists of numbers, like lines of code", async (t) => {
  const rows = Array.from({ length: 60 }, (_, i) => `| ${i} | item ${i} | 0.00 |`).join("\n")
  const cases = [
    `| a | b | c |\n|---|---|---|\n${rows}`,
    `${"=".repeat(300)}\nTitle\n${"=".repeat(300)}`,
    `[${"0, ".repeat(150)}0]`,
    Array.from({ length: 40 }, (_, i) => `  app.use(handler${i})`).join("\n"),
    Array.from({ length: 7 }, () => "    if (error) return callback(error)\n").join(""),
    `${" ".repeat(400)}x`,
    "\n".repeat(300),
    "Ha! ".repeat(30),
  ].map((text) => `Here it is:\n${text}\nDone.`)
  for (const text of cases) t.strictSame(faults(text, talk), [], text.slice(0, 60))
})

test("the corpus' judge does find what is wrong", async (t) => {
  t.strictSame(faults('{"plan": []}', asking(FORMS.developmentPlan)).length, 2, "while it streams and when it is whole")
  t.strictSame(faults(QUESTION, talk), ["the answer repeats an earlier question"])
  t.match(faults("I will now do it. ".repeat(200), talk), ["the answer goes round in circles", /^ended at/])
})
