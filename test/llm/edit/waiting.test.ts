import { test } from "tap"
import { keyOf, type Piece } from "../../../lib/llm/edit/pieces.ts"
import { Waiting } from "../../../lib/llm/edit/waiting.ts"
import { steepGrowth } from "../../helpers/growth.ts"

function filled(piece: Piece, count: number): Waiting {
  const waiting = new Waiting(keyOf)
  for (let i = 0; i < count; i++) waiting.add(piece)
  return waiting
}

test("pieces of one text or call wait as one, and each costs the same however many there are", (t) => {
  const call = { type: "toolCall", index: 0, call: 0, id: undefined, name: undefined, arguments: "abcd" } as const
  for (const piece of [{ type: "reasoning", index: 0, text: "abcd" } as const, call]) {
    const [one, ...more] = filled(piece, 1_000).take()
    t.equal(more.length, 0)
    t.equal(one?.type === "toolCall" ? one.arguments : one?.text, "abcd".repeat(1_000))
    const steep = steepGrowth(10_000, (count) => () => {
      filled(piece, count)
        .take()
        .map((all) => JSON.stringify(all))
    })
    t.equal(steep, undefined, piece.type)
  }
  t.end()
})
