import { test } from "tap"
import { keyOf, type Piece } from "../../../lib/llm/edit/pieces.ts"
import { Waiting } from "../../../lib/llm/edit/waiting.ts"

const RUNS = 5
/** The most that four times the pieces may cost: linear is 4, quadratic 16. */
const GROWTH_MAX = 8
/** Less CPU time than this is the clock's and the collector's noise. */
const NOISE_MICROS = 15_000

function filled(piece: Piece, count: number): Waiting {
  const waiting = new Waiting(keyOf)
  for (let i = 0; i < count; i++) waiting.add(piece)
  return waiting
}

function microsOf(work: () => void): number {
  const runs = Array.from({ length: RUNS }, () => {
    const before = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(before)
    return user + system
  })
  return Math.min(...runs)
}

test("pieces of one text or call wait as one, and each costs the same however many there are", (t) => {
  const call = { type: "toolCall", index: 0, call: 0, id: undefined, name: undefined, arguments: "abcd" } as const
  for (const piece of [{ type: "reasoning", index: 0, text: "abcd" } as const, call]) {
    const [one, ...more] = filled(piece, 1_000).take()
    t.equal(more.length, 0)
    t.equal(one?.type === "toolCall" ? one.arguments : one?.text, "abcd".repeat(1_000))
    const few = microsOf(() =>
      filled(piece, 20_000)
        .take()
        .map((all) => JSON.stringify(all)),
    )
    const many = microsOf(() =>
      filled(piece, 80_000)
        .take()
        .map((all) => JSON.stringify(all)),
    )
    t.ok(many <= Math.max(NOISE_MICROS, few * GROWTH_MAX), `${piece.type}: ${few} and ${many} us`)
  }
  t.end()
})
