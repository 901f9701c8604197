/** What was chosen, looked up once a second, and gone on with while the database is gone. */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { BELIEVED_MS, Choices, FOR_ALL } from "../../../addons/profiles/choices.ts"
import type { JsonValue, Records } from "../../../lib/index.ts"
import { ManualClock } from "../../../lib/testing/index.ts"
import { startProfiles } from "./rig.ts"

function rig(count = 1) {
  const clock = new ManualClock()
  const state = { asked: 0, isLost: false }
  const all = new Map<string, JsonValue>([[FOR_ALL, { profile: "a", model: "m" }]])
  for (let n = 1; n < count; n++) all.set(`k${n}`, { profile: `p${n}` })
  const answered = <T>(value: T): Promise<T> => {
    state.asked += 1
    return state.isLost ? Promise.reject(new Error("the database is gone")) : Promise.resolve(value)
  }
  const records: Pick<Records, "get" | "set" | "entries"> = {
    get: (key) => answered(all.get(key)),
    set: async (key, value) => void all.set(key, value),
    entries: () => answered([...all].slice(0, 1_000)),
  }
  // Of records it uses these three.
  return { clock, state, choices: new Choices(records as Records, clock) }
}

for (const count of [1, 1_500])
  test(`of ${count} choices: what is known goes on while the database is gone, and is asked for again later`, async (t) => {
    const { clock, state, choices } = rig(count)
    t.strictSame(await choices.of(FOR_ALL), { profile: "a", model: "m" })
    t.strictSame(await choices.of(FOR_ALL), { profile: "a", model: "m" })
    const before = state.asked
    state.isLost = true
    clock.advance(BELIEVED_MS)
    t.strictSame(await choices.of(FOR_ALL), { profile: "a", model: "m" })
    t.equal(state.asked, before + 1)
    clock.advance(BELIEVED_MS)
    t.strictSame(await choices.of(FOR_ALL), { profile: "a", model: "m" })
    t.equal(state.asked, before + 1, "nobody waits for it with each request")
    state.isLost = false
    clock.advance(10_000)
    t.strictSame(await choices.of(FOR_ALL), { profile: "a", model: "m" })
    t.equal(state.asked, before + 2)
  })

test("what was never looked up cannot be gone on with", async (t) => {
  const { state, choices } = rig()
  state.isLost = true
  await t.rejects(Promise.resolve(choices.of(FOR_ALL)), /the database is gone/)
  state.isLost = false
  t.strictSame(await choices.of(FOR_ALL), { profile: "a", model: "m" })
})

test("a choice that cannot be kept is 503 with its message, and says when to come again", async (t) => {
  const confdir = t.testdir()
  const addon = await startProfiles(t, { list: { brief: { temperature: 0.2 } } }, { confdir })
  const choose = () =>
    addon.request({ url: "/models/model", headers: { Authorization: "ann" }, json: { model_config: "brief" } })
  t.equal((await choose()).status, 200)
  await rm(join(confdir, "state.db"))
  const answer = await choose()
  t.same([answer.status, answer.headers.get("retry-after")], [503, "5"])
  t.match(answer.json(), { message: /cannot be reached now/ })
  t.match(addon.log.errors.join("\n"), /state\.db/)
})
