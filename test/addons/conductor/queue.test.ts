import { test } from "tap"
import { join, linesIn } from "../../../addons/conductor/queue.ts"

/** Which of the places have their turn. */
async function turns(places: { granted: Promise<void> }[]): Promise<boolean[]> {
  const had = places.map(() => false)
  for (const [at, place] of places.entries()) {
    void place.granted.then(() => {
      had[at] = true
    })
  }
  await new Promise((resolve) => setImmediate(resolve))
  return had
}

test("one is served at a time, first come first served", async (t) => {
  const lines = linesIn(new Map())
  const places = [1, 2, 3].map(() => join(lines, "h", () => 1))
  t.strictSame(await turns(places), [true, false, false])
  places[0]?.leave()
  t.strictSame(await turns(places), [true, true, false])
  places[0]?.leave()
  t.strictSame(await turns(places), [true, true, false], "who left twice makes no second room")
  places[1]?.leave()
  t.strictSame(await turns(places), [true, true, true])
})

test("who leaves the line while waiting is passed over", async (t) => {
  const lines = linesIn(new Map())
  const places = [1, 2, 3].map(() => join(lines, "h", () => 1))
  places[1]?.leave()
  places[0]?.leave()
  t.strictSame(await turns(places), [true, false, true])
  places[2]?.leave()
  t.equal(lines.size, 0, "nothing is kept of a line that is empty")
})

test("each host has its own line, and the limit is the present one", async (t) => {
  const lines = linesIn(new Map())
  let limit = 2
  const places = ["a", "a", "a", "a", "b"].map((host) => join(lines, host, () => limit))
  t.strictSame(await turns(places), [true, true, false, false, true])
  limit = 3
  places[0]?.leave()
  t.strictSame(await turns(places), [true, true, true, true, true])
})

test("a new version of the addon stands in the same line", async (t) => {
  const state = new Map<string, unknown>()
  const before = join(linesIn(state), "h", () => 1)
  const after = join(linesIn(state), "h", () => 1)
  t.strictSame(await turns([before, after]), [true, false])
  before.leave()
  t.strictSame(await turns([after]), [true])
})
