import { test } from "tap"
import { Ratios } from "../../../addons/conductor/ratios.ts"
import type { JsonValue } from "../../../lib/api/flow.ts"
import { NO_STORE, type Records } from "../../../lib/api/store.ts"

function memory(records = new Map<string, JsonValue>()): Records & { records: Map<string, JsonValue> } {
  return {
    ...NO_STORE.records("conductor", "ratios"),
    records,
    get: async (key) => records.get(key),
    set: async (key, value) => void records.set(key, value),
    delete: async (key) => void records.delete(key),
    entries: async () => [...records],
  }
}

const made = (records: Records = memory(), state = new Map<string, unknown>(), lost: unknown[] = []) =>
  new Ratios(state, records, (error) => lost.push(error))

test("before anything was learnt the option's ratio holds", (t) => {
  t.strictSame(made().of("m", 1.35), { value: 1.35, samples: 0 })
  t.strictSame(made().of(undefined, 1.35), { value: 1.35, samples: 0 })
  t.end()
})

test("few answers can only raise it; five are enough, and a high one of them counts", (t) => {
  const ratios = made()
  ratios.learn("m", 1_000, 1_100)
  t.strictSame(ratios.of("m", 1.35), { value: 1.35, samples: 1 })
  ratios.learn("m", 1_000, 1_500)
  t.equal(ratios.of("m", 1.35).value, 1.5)
  const other = made()
  for (const actual of [1_100, 1_120, 1_090, 1_130, 1_110]) other.learn("m", 1_000, actual)
  t.strictSame(other.of("m", 1.35), { value: 1.13, samples: 5 })
  t.equal(other.of("another", 1.35).samples, 0, "each model has its own")
  t.end()
})

test("old answers are forgotten, short prompts and counts of another text teach nothing", (t) => {
  const ratios = made()
  ratios.learn("m", 100, 300)
  ratios.learn("m", 1_000, 10)
  ratios.learn("m", 1_000, 9_000)
  ratios.learn("m", 1_000, Number.NaN)
  t.equal(ratios.of("m", 1).samples, 0)
  for (let times = 0; times < 64; times++) ratios.learn("m", 1_000, 2_000)
  for (let times = 0; times < 64; times++) ratios.learn("m", 1_000, 1_200)
  t.strictSame(ratios.of("m", 1), { value: 1.2, samples: 64 })
  t.end()
})

test("what was learnt is there after a reload, and after a restart", async (t) => {
  const store = memory()
  const state = new Map<string, unknown>()
  const first = made(store, state)
  for (let times = 0; times < 5; times++) first.learn("m", 1_000, 1_200)
  t.equal(made(store, state).of("m", 1.35).value, 1.2, "reloaded")
  await new Promise((resolve) => setImmediate(resolve))
  const started = made(store)
  t.equal(started.of("m", 1.35).samples, 0)
  await started.load()
  await started.load()
  t.strictSame(started.of("m", 1.35), { value: 1.2, samples: 5 })
})

test("what was learnt before the disk was read stands behind what is there, and overwrites nothing", async (t) => {
  const store = memory(new Map<string, JsonValue>([["m", [1.1, 1.2]]]))
  const state = new Map<string, unknown>()
  const ratios = made(store, state)
  ratios.learn("m", 1_000, 1_300)
  await ratios.load()
  await made(store, state).load()
  await new Promise((resolve) => setImmediate(resolve))
  t.strictSame(store.records.get("m"), [1.1, 1.2, 1.3])
  t.equal(ratios.of("m", 1).samples, 3, "and a reload reads nothing twice")
})

test("records that are none are passed over, and a store that fails costs nothing else", async (t) => {
  const records = new Map<string, JsonValue>([
    ["a", "text"],
    ["b", [1, "x", 99, null]],
  ])
  const ratios = made(memory(records))
  await ratios.load()
  t.equal(ratios.of("a", 1).samples, 0)
  t.equal(ratios.of("b", 1).samples, 1)
  const lost: unknown[] = []
  const broken = {
    ...memory(),
    set: () => Promise.reject(new Error("full")),
    entries: () => Promise.reject(new Error("gone")),
  }
  const left = made(broken, new Map(), lost)
  await left.load()
  left.learn("m", 1_000, 1_200)
  await new Promise((resolve) => setImmediate(resolve))
  t.match(lost, [{ message: "gone" }, { message: "full" }])
})

test("the models that are remembered are bounded", (t) => {
  const ratios = made()
  for (let at = 0; at <= 200; at++) ratios.learn(`m${at}`, 1_000, 1_200)
  t.equal(ratios.of("m0", 1).samples, 0)
  t.equal(ratios.of("m200", 1).samples, 1)
  t.end()
})
