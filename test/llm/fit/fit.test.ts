import fc from "fast-check"
import { test } from "tap"
import { fitMessages } from "../../../lib/index.ts"
import { callIdsOf, turnsOf } from "../../../lib/llm/fit/turns.ts"
import type { Message } from "../../../lib/llm/model.ts"

const system: Message = { role: "system", content: "Be brief." }
const developer: Message = { role: "developer", content: "Be exact." }
const user = (content: string): Message => ({ role: "user", content })
const assistant = (content: string): Message => ({ role: "assistant", content })
const calls = (...ids: string[]): Message => ({
  role: "assistant",
  content: null,
  tool_calls: ids.map((id) => ({ id, type: "function", function: { name: "f", arguments: "{}" } })),
})
const result = (id: string): Message => ({ role: "tool", tool_call_id: id, content: "r" })
const toolUse = (id: string): Message => ({
  role: "assistant",
  content: [{ type: "tool_use", id, name: "f", input: {} }],
})
const toolResult = (id: string, ...more: { type: string; text: string }[]): Message => {
  return { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: "r" }, ...more] }
}

interface Row {
  readonly what: string
  readonly messages: readonly Message[]
  readonly limit: number
  readonly kept: readonly number[]
  readonly fits?: boolean
}

/** Each message has 10 tokens. */
const ROWS: readonly Row[] = [
  { what: "all of it fits", messages: [system, user("a"), assistant("b"), user("c")], limit: 40, kept: [0, 1, 2, 3] },
  { what: "nothing to keep", messages: [], limit: 0, kept: [] },
  {
    what: "the oldest turn goes, its user's first message stays",
    messages: [system, user("a"), assistant("b"), user("c"), assistant("d"), user("e")],
    limit: 50,
    kept: [0, 1, 3, 4, 5],
  },
  {
    what: "whole turns, no halves",
    messages: [system, user("a"), assistant("b"), user("c"), assistant("d"), user("e")],
    limit: 49,
    kept: [0, 1, 5],
  },
  {
    what: "no gap: a smaller older turn is not kept behind a larger one that is not",
    messages: [user("a"), user("b"), assistant("c"), user("d"), result("x"), result("y"), result("z"), user("e")],
    limit: 40,
    kept: [0, 7],
  },
  {
    what: "system and developer messages stay wherever they stand",
    messages: [user("a"), assistant("b"), developer, user("c"), system, user("d")],
    limit: 1,
    kept: [0, 2, 3, 4, 5],
    fits: false,
  },
  {
    what: "the last turn stays, with all of its calls",
    messages: [user("a"), assistant("b"), user("c"), calls("1", "2"), result("1"), result("2")],
    limit: 10,
    kept: [0, 2, 3, 4, 5],
    fits: false,
  },
  {
    what: "a call in an older turn goes with its results",
    messages: [user("a"), calls("1"), result("1"), assistant("b"), user("c")],
    limit: 40,
    kept: [0, 4],
  },
  {
    what: "a result that comes a turn later keeps the call's turn",
    messages: [user("z"), assistant("y"), user("a"), calls("1"), user("b"), result("1"), assistant("c")],
    limit: 10,
    kept: [0, 2, 3, 4, 5, 6],
    fits: false,
  },
  {
    what: "Anthropic's results are no turn of their own",
    messages: [user("a"), assistant("b"), user("c"), toolUse("1"), toolResult("1"), assistant("d")],
    limit: 40,
    kept: [0, 2, 3, 4, 5],
    fits: false,
  },
  {
    what: "a result with a user's text beside it keeps the call as well",
    messages: [user("z"), assistant("y"), user("a"), toolUse("1"), toolResult("1", { type: "text", text: "and?" })],
    limit: 10,
    kept: [0, 2, 3, 4],
    fits: false,
  },
  {
    what: "a first message that brings a result goes with its call",
    messages: [
      toolUse("1"),
      toolResult("1", { type: "text", text: "a" }),
      assistant("b"),
      user("c"),
      assistant("d"),
      user("e"),
    ],
    limit: 50,
    kept: [0, 1, 2, 5],
  },
  {
    what: "items of the Responses API",
    messages: [
      user("a"),
      { role: "assistant", type: "function_call", call_id: "1", name: "f", arguments: "{}" },
      { role: "user", type: "function_call_output", call_id: "1", output: "r" },
      user("b"),
    ],
    limit: 30,
    kept: [0, 3],
  },
]

test("what is kept", async (t) => {
  for (const { what, messages, limit, kept, fits = true } of ROWS) {
    const counts = messages.map(() => 10)
    const fit = fitMessages(messages, counts, limit)
    t.strictSame({ kept: fit.kept, fits: fit.fits }, { kept, fits }, what)
    t.equal(fit.keptTokens, kept.length * 10)
    t.equal(fit.droppedTokens, (messages.length - kept.length) * 10)
    t.strictSame(
      [...fit.kept, ...fit.dropped].sort((a, b) => a - b),
      messages.map((_, index) => index),
    )
  }
})

test("counts that are none are refused", async (t) => {
  for (const counts of [[], [1, 2], [Number.NaN], [-1], [Number.POSITIVE_INFINITY]])
    t.throws(() => fitMessages([user("a")], counts, 10), RangeError)
})

const ids = fc.constantFrom("1", "2", "3", "4")
const text = fc.constantFrom("a", "b")
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.constant(system),
  text.map(user),
  text.map(assistant),
  fc.array(ids, { minLength: 1, maxLength: 2 }).map((all) => calls(...all)),
  ids.map(result),
  ids.map(toolUse),
  ids.map((id) => toolResult(id)),
  ids.map((id) => toolResult(id, { type: "text", text: "t" })),
)
const conversation = fc
  .array(fc.tuple(message, fc.nat(20)), { maxLength: 14 })
  .map((all) => ({ messages: all.map(([one]) => one), counts: all.map(([, count]) => count) }))

test("whatever the conversation, what has to stay does, and nothing is torn apart", async () => {
  fc.assert(
    fc.property(conversation, fc.nat(150), ({ messages, counts }, limit) => {
      const { fits, kept, keptTokens, droppedTokens, leastTokens } = fitMessages(messages, counts, limit)
      const isKept = new Set(kept)
      const { system, firstUser, turns } = turnsOf(messages)
      const last = turns.at(-1) ?? []
      const sum = (indexes: readonly number[]) => indexes.reduce((all, index) => all + (counts[index] ?? 0), 0)
      const always = [...system, ...last, ...(firstUser === undefined ? [] : [firstUser])].every((index) =>
        isKept.has(index),
      )
      const together = messages.every((one, at) =>
        callIdsOf(one).every((id) =>
          messages.every((other, index) => !callIdsOf(other).includes(id) || isKept.has(index) === isKept.has(at)),
        ),
      )
      const whole = turns.filter((turn) => turn.some((index) => isKept.has(index) && index !== firstUser))
      const isWhole = whole.every((turn) => turn.every((index) => isKept.has(index)))
      const sums = keptTokens === sum(kept) && keptTokens + droppedTokens === sum(messages.map((_, index) => index))
      const bounded = fits === keptTokens <= limit && leastTokens <= keptTokens && (fits || leastTokens === keptTokens)
      return always && together && isWhole && sums && bounded
    }),
    { numRuns: 2_000 },
  )
})

test("more room keeps no less, and what would fit is kept", async () => {
  fc.assert(
    fc.property(conversation, fc.nat(150), fc.nat(40), ({ messages, counts }, limit, more) => {
      const small = fitMessages(messages, counts, limit)
      const large = fitMessages(messages, counts, limit + more)
      const all = counts.reduce((sum, count) => sum + count, 0)
      const isAll = limit < all || small.dropped.length === 0
      return isAll && small.kept.every((index) => large.kept.includes(index))
    }),
    { numRuns: 1_000 },
  )
})
