/**
 * What tokens cost, by the host that was asked and as it was when it was asked. Tables are dated and offline: nothing is fetched, and
 * a model that no table has costs an unknown sum, never nothing. The table that comes with the program is 800 KB and is
 * loaded when the first price is asked for; a file of the user's own counts before it.
 */
import { readFile } from "node:fs/promises"
import type { PriceCalculation } from "@pydantic/genai-prices"
import { messageOf, UsageError } from "../base/errors.ts"
import { arrayOf, isObject, type JsonObject, numberOf, parseJson, stringOf } from "../base/json.ts"
import type { Usage } from "../llm/model.ts"

type Provider = PriceCalculation["provider"]

/** The package's version and the day on which it was published: its data have no date of their own. */
const TABLE = { name: "genai-prices 0.1.8", date: "2026-09-23" } as const
const MICRO_DOLLARS = 1_000_000
/** Prices in a file are of so many tokens, as providers publish them. */
const PER_TOKENS = 1_000_000
/** Models of hosts whose sellers are remembered. */
const SELLERS_MAX = 1_000
/** Entries of a file. */
const ENTRIES_MAX = 10_000

export interface PriceAsk {
  /** Whom the tokens were bought of, as "api.openai.com", with its port where that is not usual; undefined: whoever has the model. */
  readonly host: string | undefined
  readonly model: string
  readonly usage: Usage
  /** When it was asked: epoch milliseconds. */
  readonly at: number
}

export interface Price {
  /** Whole micro-dollars. */
  readonly microDollars: number
  /** Which table says so, and of which day it is. */
  readonly table: string
  readonly date: string
}

export interface Prices {
  /** Undefined: no table has this model at this host, or the tokens are not known. */
  of(ask: PriceAsk): Price | undefined
}

/**
 * Opens the prices: those in `file` (see docs/keys.md), where there is one, then those that llmproxy brings. Rejects with a
 * UsageError that names the file and the place in it.
 */
export async function openPrices(file?: string): Promise<Prices> {
  const own = file === undefined ? undefined : await readTable(file)
  const { calcPrice } = await import("@pydantic/genai-prices")
  /** By host and model, its seller with that model alone: to find it among all is ten times the work of the sum. */
  const sellers = new Map<string, Provider | undefined>()
  return {
    of({ host, model, usage, at }) {
      const { inputTokens, outputTokens, cachedTokens } = usage
      if (inputTokens === undefined || outputTokens === undefined) return undefined
      const found = own?.find((entry) => fits(entry, host, model, at))
      if (own !== undefined && found !== undefined) {
        const cached = Math.min(cachedTokens ?? 0, inputTokens)
        const dollars = (inputTokens - cached) * found.input + cached * found.cached + outputTokens * found.output
        return {
          microDollars: Math.round((dollars / PER_TOKENS) * MICRO_DOLLARS),
          table: found.table,
          date: found.date,
        }
      }
      const tokens = { input_tokens: inputTokens, output_tokens: outputTokens, cache_read_tokens: cachedTokens }
      const timestamp = new Date(at)
      const name = `${host ?? ""} ${model}`
      const isKnown = sellers.has(name)
      const seller = sellers.get(name)
      if (isKnown && seller === undefined) return undefined
      const place = host === undefined ? {} : { providerApiUrl: `https://${host}/` }
      const price = calcPrice(tokens, model, { ...(seller === undefined ? place : { provider: seller }), timestamp })
      if (!isKnown) {
        if (sellers.size >= SELLERS_MAX) sellers.clear()
        sellers.set(name, price === null ? undefined : { ...price.provider, models: [price.model] })
      }
      if (price === null || !Number.isFinite(price.total_price)) return undefined
      return { microDollars: Math.round(price.total_price * MICRO_DOLLARS), table: TABLE.name, date: TABLE.date }
    },
  }
}

/** Dollars for a million tokens. */
interface Entry {
  readonly host: string | undefined
  readonly model: string
  /** Epoch milliseconds from which on it is valid. */
  readonly from: number
  readonly input: number
  readonly cached: number
  readonly output: number
  readonly table: string
  readonly date: string
}

/** The latest first, so that the first one that has begun counts. */
async function readTable(file: string): Promise<readonly Entry[]> {
  const told = (text: string) => new UsageError(`prices in ${file}: ${text}`)
  let text: string
  try {
    text = await readFile(file, "utf8")
  } catch (thrown) {
    throw told(messageOf(thrown))
  }
  const table = parseJson(text)
  const models = isObject(table) ? table.models : undefined
  if (!isObject(table) || !Array.isArray(models) || models.length > ENTRIES_MAX)
    throw told('write {"date": "2026-11-30", "models": [{"model": "gpt-*", "input": 2.5, "output": 10}]}')
  const date = stringOf(table.date)
  if (date === undefined || !isDay(date)) throw told('"date" must be the day of these prices, as in "2026-11-30"')
  return arrayOf(models)
    .map((one, index) => entryOf(one, date, file, (text) => told(`models[${index}]: ${text}`)))
    .sort((one, other) => other.from - one.from)
}

function entryOf(value: unknown, date: string, table: string, told: (text: string) => UsageError): Entry {
  const given: JsonObject = isObject(value) ? value : {}
  const model = stringOf(given.model)
  if (model === undefined) throw told('"model" must be a name, or the begin of names with "*" behind it')
  const from = given.from === undefined ? undefined : stringOf(given.from)
  if (given.from !== undefined && (from === undefined || !isDay(from)))
    throw told('"from" must be a day, as in "2026-11-30"')
  const dollars = (name: string, usual?: number) => {
    const price = given[name] === undefined ? usual : numberOf(given[name])
    if (price === undefined || price < 0) throw told(`"${name}" must be dollars for a million tokens`)
    return price
  }
  const input = dollars("input")
  const start = from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(from)
  return {
    host: stringOf(given.host),
    model,
    from: start,
    input,
    cached: dollars("cached", input),
    output: dollars("output"),
    table,
    date,
  }
}

function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text))
}

function fits(entry: Entry, host: string | undefined, model: string, at: number): boolean {
  if (at < entry.from || (entry.host !== undefined && entry.host !== host)) return false
  return entry.model.endsWith("*") ? model.startsWith(entry.model.slice(0, -1)) : entry.model === model
}
