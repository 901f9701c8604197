/** Prices of tokens: whose, when, and of which table. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { openPrices } from "../../lib/services/prices.ts"

const usageOf = (inputTokens: number | undefined, outputTokens: number | undefined, cachedTokens?: number) =>
  ({
    inputTokens,
    outputTokens,
    totalTokens: undefined,
    cachedTokens,
    reasoningTokens: undefined,
    source: "provider",
  }) as const

const AT = Date.UTC(2026, 8, 1)
const asked = { host: "api.openai.com", model: "gpt-4o", usage: usageOf(1_000, 100), at: AT }

test("tokens have the price of the host that was asked, and the sum names its table and day", async (t) => {
  const prices = await openPrices()
  const table = { table: "genai-prices 0.1.8", date: "2026-09-23" }
  t.same(prices.of(asked), { microDollars: 3_500, ...table })
  t.same(prices.of({ ...asked, usage: usageOf(1_000, 100, 1_000) }), { microDollars: 2_250, ...table }, "cached tokens")
  t.same(prices.of({ ...asked, host: undefined }), { microDollars: 3_500, ...table }, "by the model alone")
  for (const unknown of [
    { host: "127.0.0.1:1234" },
    { model: "no-such-model" },
    { usage: usageOf(undefined, 1) },
    { usage: usageOf(1, undefined) },
  ])
    for (const time of ["first", "second"])
      t.equal(prices.of({ ...asked, ...unknown }), undefined, `${JSON.stringify(unknown)}, the ${time} time`)
  t.same(prices.of(asked), { microDollars: 3_500, ...table }, "what is known of a seller is of this model alone")
  t.same(prices.of({ ...asked, model: "gpt-4o-mini" })?.microDollars, 210)
  t.same(prices.of({ ...asked, model: "gpt-4o-mini" })?.microDollars, 210)
})

test("a price is the one that was valid when it was asked", async (t) => {
  const prices = await openPrices()
  const at = (when: number) => prices.of({ ...asked, model: "o3", at: when })?.microDollars
  t.equal(at(Date.UTC(2025, 5, 9)), 14_000)
  t.equal(at(Date.UTC(2025, 5, 11)), 2_800)
})

test("a file's prices count before, from their day on, and by host", async (t) => {
  const file = join(t.testdir(), "prices.json")
  const models = [
    { model: "gpt-4o", input: 1, output: 2, cached: 0.5 },
    { model: "gpt-4o", input: 10, output: 20, from: "2026-10-01" },
    { host: "127.0.0.1:1234", model: "*", input: 0, output: 0 },
    { model: "fast*", input: 3, output: 3 },
  ]
  await writeFile(file, JSON.stringify({ date: "2026-11-30", models }))
  const prices = await openPrices(file)
  t.same(prices.of(asked), { microDollars: 1_200, table: file, date: "2026-11-30" })
  t.equal(prices.of({ ...asked, usage: usageOf(1_000, 100, 400) })?.microDollars, 1_000)
  t.equal(prices.of({ ...asked, at: Date.UTC(2026, 10, 1) })?.microDollars, 12_000)
  t.equal(prices.of({ ...asked, host: "127.0.0.1:1234", model: "any" })?.microDollars, 0)
  t.equal(prices.of({ ...asked, model: "fast-one" })?.microDollars, 3_300)
  t.equal(prices.of({ ...asked, model: "gpt-4.1" })?.table, "genai-prices 0.1.8")
})

test("a file that is no table of prices is refused, with the place", async (t) => {
  const dir = t.testdir()
  const file = join(dir, "prices.json")
  await t.rejects(openPrices(join(dir, "none.json")), { name: "UsageError", message: /none\.json: ENOENT/ })
  for (const [text, message] of [
    ["{", /write \{"date"/],
    ['{"date":"2026-11-30"}', /write \{"date"/],
    ['{"models":[]}', /"date" must be the day/],
    ['{"date":"2026-13-30","models":[]}', /"date" must be the day/],
    ['{"date":"2026-11-30","models":[1]}', /models\[0\]: "model" must be/],
    [
      '{"date":"2026-11-30","models":[{"model":"a","input":1,"output":1},{"model":"b"}]}',
      /models\[1\]: "input" must be/,
    ],
    ['{"date":"2026-11-30","models":[{"model":"a","input":1}]}', /models\[0\]: "output" must be/],
    ['{"date":"2026-11-30","models":[{"model":"a","input":-1,"output":1}]}', /"input" must be dollars/],
    ['{"date":"2026-11-30","models":[{"model":"a","input":1,"output":1,"from":"soon"}]}', /"from" must be a day/],
  ] as const) {
    await writeFile(file, text)
    await t.rejects(openPrices(file), { name: "UsageError", message }, text)
  }
})
