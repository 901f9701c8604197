/** What was chosen, of few and of many. */
import { test } from "tap"
import { BELIEVED_MS, Choices } from "../../../addons/profiles/choices.ts"
import type { Records } from "../../../lib/api/store.ts"
import type { JsonValue } from "../../../lib/base/json.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

function kept(count: number) {
  const values = new Map<string, JsonValue>(Array.from({ length: count }, (_, at) => [`key:${at}`, { profile: "p" }]))
  const asked: string[] = []
  const records: Pick<Records, "get" | "set" | "entries"> = {
    get: async (key) => {
      asked.push(key)
      return values.get(key)
    },
    set: async (key, value) => void values.set(key, value),
    entries: async () => {
      asked.push("all")
      return [...values].slice(0, 1_000)
    },
  }
  const clock = new ManualClock()
  const never = () => Promise.reject(new Error("not here"))
  return {
    choices: new Choices({ delete: never, update: never, increment: never, ...records }, clock),
    asked,
    values,
    clock,
  }
}

test("all are read at once, once a second, however many ask", async (t) => {
  const { choices, asked, values, clock } = kept(3)
  t.same(await Promise.all(["key:0", "key:9"].map((whom) => choices.of(whom))), [
    { profile: "p", model: undefined },
    undefined,
  ])
  t.equal(choices.of("key:8"), undefined, "without a wait")
  values.set("key:8", { profile: "q", model: "m" })
  values.set("odd", "no choice")
  clock.advance(BELIEVED_MS)
  t.same(await choices.of("key:8"), { profile: "q", model: "m" })
  t.equal(choices.of("odd"), undefined)
  await choices.set("key:8", { profile: "r", model: undefined })
  t.same(choices.of("key:8"), { profile: "r", model: undefined }, "at once where it was chosen")
  t.same(asked, ["all", "all"])
})

test("of very many each is looked up by itself, once a second", async (t) => {
  const { choices, asked, clock } = kept(1_200)
  t.same(await choices.of("key:1100"), { profile: "p", model: undefined })
  t.same(choices.of("key:1100"), { profile: "p", model: undefined })
  clock.advance(BELIEVED_MS)
  await choices.of("key:1100")
  t.same(asked, ["all", "key:1100", "key:1100"])
})
