/** While one streams nobody else prints, and nothing is lost or out of order but what exceeds the limit. */
import fc from "fast-check"
import { test } from "tap"
import { Turns } from "../../../lib/cli/terminal/turns.ts"

function makeTurns() {
  const written: string[] = []
  return { written, turns: new Turns((text) => written.push(text)), text: () => written.join("") }
}

test("without a stream everything is printed at once", async (t) => {
  const { turns, written } = makeTurns()
  turns.print("a")
  turns.end({}, "b")
  t.same(written, ["a", "b"])
})

test("a stream is printed as it comes, others wait until it has ended", async (t) => {
  const { turns, written, text } = makeTurns()
  const [first, second] = [{}, {}]
  turns.live(first, "1a ")
  turns.print("line ")
  turns.live(second, "2a ")
  turns.live(first, "1b ")
  turns.live(second, "2b ")
  t.same(written, ["1a ", "1b "])
  turns.end(second, "2end ")
  turns.end(first, "1end ")
  t.equal(text(), "1a 1b 1end line 2a 2b 2end ")
})

test("one that still speaks when its turn comes goes on live", async (t) => {
  const { turns, text } = makeTurns()
  const [first, second] = [{}, {}]
  turns.live(first, "1 ")
  turns.live(second, "2a ")
  turns.print("line ")
  turns.end(first, "1end ")
  t.equal(text(), "1 1end 2a ")
  turns.live(second, "2b ")
  t.equal(text(), "1 1end 2a 2b ")
  turns.end(second, "2end ")
  t.equal(text(), "1 1end 2a 2b 2end line ")
})

test("what waits is bounded, and what is missing is said", async (t) => {
  const { turns, text } = makeTurns()
  const first = {}
  turns.live(first, "a\n")
  turns.print("x".repeat(262_144))
  turns.print("lost")
  turns.end(first, "b\n")
  t.equal(text().length, 4 + 262_144 + "(4 characters not shown: too much at once)\n".length)
  turns.live(first, "c\n")
  turns.end(first, "d\n")
  t.match(text(), /c\nd\n$/, "and goes on as before")
})

test("whatever the order of events, each one's text is printed once, in its own order, in one piece", async (t) => {
  const event = fc.record({ who: fc.integer({ min: 0, max: 3 }), what: fc.constantFrom("live", "end", "print") })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const { turns, text } = makeTurns()
      let owners = [{}, {}, {}, {}].map((owner, id) => ({ owner, id, said: "" }))
      const expected: string[] = []
      let next = 4
      for (const [i, { who, what }] of events.entries()) {
        const speaker = owners[who]
        if (speaker === undefined) continue
        const piece = `<${speaker.id}:${i}>`
        if (what === "print") {
          turns.print(`[${i}]`)
          expected.push(`[${i}]`)
        }
        if (what === "live") {
          turns.live(speaker.owner, piece)
          speaker.said += piece
        }
        if (what !== "end") continue
        turns.end(speaker.owner, piece)
        expected.push(speaker.said + piece)
        owners = owners.map((other) => (other === speaker ? { owner: {}, id: next++, said: "" } : other))
      }
      for (const { owner, said } of owners.filter((one) => one.said !== "")) {
        turns.end(owner, ".")
        expected.push(`${said}.`)
      }
      return expected.every((whole) => text().includes(whole)) && text().length === expected.join("").length
    }),
  )
  t.pass()
})
