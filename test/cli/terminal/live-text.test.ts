/** A text in pieces leaves as it would in one: without control bytes, with its secrets blanked. */
import { test } from "tap"
import { LiveText, shownText } from "../../../lib/cli/terminal/live-text.ts"

function fed(pieces: string[]): string {
  const live = new LiveText("  ")
  return pieces.map((piece) => live.feed(piece)).join("") + live.finish()
}

test("a secret is blanked wherever it is cut", async (t) => {
  const text = "the key sk-abcdefghijkl and\nBearer abcdefghij123 end"
  for (let cut = 0; cut <= text.length; cut++)
    t.equal(fed([text.slice(0, cut), text.slice(cut)]), "the key sk-*** and\n  Bearer *** end", `cut at ${cut}`)
  t.equal(fed([...text]), "the key sk-*** and\n  Bearer *** end", "and when each character comes alone")
})

test("whole words leave at once", async (t) => {
  const live = new LiveText("")
  t.equal(live.feed("one tw"), "one ")
  t.equal(live.feed("o "), "two ")
  t.equal(live.feed("three"), "")
  t.equal(live.finish(), "three")
  t.equal(live.finish(), "")
})

test("a word without an end does not wait for ever", async (t) => {
  const live = new LiveText("")
  t.equal(live.feed("x".repeat(600)).length, 344)
  t.equal(live.feed("x".repeat(600)).length, 600)
  t.equal(live.finish().length, 256)
})

test("lines are indented and cannot steer the terminal", async (t) => {
  t.equal(shownText("a\r\nb\n\u001b[2Jc\td", "  "), "a\n  b\n  \\x1b[2Jc d")
})
