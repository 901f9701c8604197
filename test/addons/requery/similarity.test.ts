import { test } from "tap"
import { areAlike, isQuestion } from "../../../addons/requery/similarity.ts"

test("a question has five words or more, fewer than 500 characters, and ends in a question mark", (t) => {
  const cases: [string, boolean][] = [
    ["Which database should it use?", true],
    ["Which database to use?", false],
    ["Which database should it use?**\n", true],
    ['"Which database should it use?" ', true],
    ["Which database should it use？", true],
    ["Which database should it use.", false],
    ["Which database should it use? Tell me.", false],
    [`Which ${"w".repeat(477)} should it use?`, true],
    [`Which ${"w".repeat(479)} should it use?`, false],
    ["", false],
  ]
  for (const [text, is] of cases) t.equal(isQuestion(text), is, `${text.length}: ${text.slice(0, 40)}`)
  t.end()
})

test("case, punctuation and white space make no other question; another subject does", (t) => {
  const question = "Which database should the application use for its data?"
  t.ok(areAlike(question, "WHICH database,  should the application use\nfor its data ?"))
  t.ok(areAlike(question, "Which database should the application use for its data, then?"))
  t.notOk(areAlike(question, "Which framework should the application use for its pages?"))
  t.notOk(areAlike(question, ""))
  t.notOk(areAlike("", ""))
  t.ok(areAlike("why", "Why?"), "what is shorter than a run is compared whole")
  t.end()
})
