/**
 * What one request of a key costs, from before it leaves to its end: scopes and limits are checked, what it may come to is
 * reserved, and what it came to is settled, whatever its end. A key without limits waits for nothing here. What an addon asks
 * for a flow is that flow's: it is counted there, once.
 */
import type { AddonContext, Flow, LlmFlow, LlmRequest, Prices } from "llmproxy"
import { allows } from "../shared/claims.ts"
import type { NamedWay } from "../shared/named-models.ts"
import type { Key, KeyBook } from "./book.ts"
import { costOf, type UsageNote } from "./cost.ts"
import type { Standing } from "./judge.ts"
import type { Ledger } from "./ledger.ts"
import { isMeasured } from "./limits.ts"
import { isNamedTwice } from "./named-twice.ts"
import type { OPTIONS } from "./options.ts"
import { isJson, modelsIn } from "./other-requests.ts"
import { type Refusals, standingFields } from "./refusals.ts"

/** Bytes of text that are at least a token, for bodies that nobody reads as a dialect's. */
const BYTES_PER_TOKEN = 3
/** Where a flow's cost is noted, for records. */
const NOTE = "keys.usage"
/** Bytes of an answer in no dialect that are kept, to read its usage. */
const ANSWER_BYTES_MAX = 4_194_304

export interface AccountsOptions {
  readonly context: AddonContext<typeof OPTIONS>
  readonly book: KeyBook
  readonly ledger: Ledger
  readonly refusals: Refusals
  prices(): Promise<Prices>
}

/** What stands for a flow that was let in. */
interface Entry {
  readonly key: Key
  readonly at: number
  /** Counted, of what it asks. */
  readonly input: number
  /** All that was reserved. */
  readonly tokens: number
  readonly money: number
  readonly prices: Prices | undefined
  /** Resolves to whether there is a reservation. */
  readonly reserved: Promise<boolean>
  standing: readonly Standing[]
}

/** Of a key without limits. */
const UNRESERVED: Omit<Entry, "key" | "at"> = {
  input: 0,
  tokens: 0,
  money: 0,
  prices: undefined,
  reserved: Promise.resolve(false),
  standing: [],
}

export class Accounts {
  /** Where a model's name may lead, as whoever routes says. */
  waysOf: (model: string) => readonly NamedWay[] = () => []
  readonly #options: AccountsOptions
  readonly #entries = new WeakMap<Flow, Entry>()
  readonly #settling = new Set<Promise<void>>()

  constructor(options: AccountsOptions) {
    this.#options = options
  }

  /** The head of a request. A promise only for a key whose models are limited, and what has its model in its body. */
  head(flow: Flow): void | Promise<void> {
    const key = this.#keyOf(flow)
    if (key === undefined) return undefined
    // Through the proxy a request names its host. At our own address it is a name that the addon which routes knows.
    if (!flow.baseUrl && !allows(key.upstreams, flow.request.host))
      return flow.respond(this.#options.refusals.forbidden(`this key may not ask ${flow.request.host}`))
    if (flow.dialect === undefined && key.models !== undefined) return this.#checkModel(flow, key)
    return undefined
  }

  /** A request that speaks no dialect, before the dial. */
  request(flow: Flow): void | Promise<void> {
    const key = this.#keyOf(flow)
    if (key === undefined || flow.dialect !== undefined) return undefined
    const length = Number(flow.request.headers.get("content-length") ?? 0)
    const input = isMeasured(key.limits) && isJson(flow) ? Math.ceil(length / BYTES_PER_TOKEN) : 0
    // An upgraded connection stays; the turns on it are what counts at a time.
    return this.#enter(flow, key, {
      input,
      answer: 0,
      slots: flow.request.headers.has("upgrade") ? 0 : 1,
      model: undefined,
    })
  }

  /** A request that speaks a dialect. */
  llmRequest(flow: LlmFlow): void | Promise<void> {
    const key = this.#keyOf(flow)
    if (key === undefined) return undefined
    const { request } = flow.llm
    if (!allows(key.models, request.model))
      return flow.respond(this.#options.refusals.forbidden(`this key may not use the model ${request.model}`))
    if (isAmbiguous(flow, key)) return flow.respond(this.#options.refusals.ambiguousModel())
    const slots = 1
    const { model } = request
    if (!isMeasured(key.limits)) return this.#enter(flow, key, { input: 0, answer: 0, slots, model })
    return this.#measure(request).then(({ input, answer }) => this.#enter(flow, key, { input, answer, slots, model }))
  }

  responseHeaders(flow: Flow): void {
    const entry = this.#entries.get(flow)
    if (entry === undefined || !entry.key.isLimited) return
    for (const [name, value] of standingFields(entry.standing)) flow.response?.headers.set(name, value)
    if (flow.dialect === undefined && isMeasured(entry.key.limits)) flow.response?.keep(ANSWER_BYTES_MAX)
  }

  /** It has ended, one way or the other. */
  end(flow: Flow): void | Promise<void> {
    const entry = this.#entries.get(flow)
    if (entry === undefined) return undefined
    this.#entries.delete(flow)
    const { key, at } = entry
    if (!key.isLimited) {
      const usage = flow.llm?.completion?.usage
      const tokens = (usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0)
      this.#options.ledger.add(key.id, at, { requests: 1, tokens, money: 0 })
      return undefined
    }
    const settling = this.#settle(flow, entry).finally(() => this.#settling.delete(settling))
    this.#settling.add(settling)
    // Records that look at the flow behind us find what it came to. What is written of it waits for nobody.
    return isMeasured(key.limits) ? settling : undefined
  }

  /** Resolves when all that has ended is settled. */
  async settled(): Promise<void> {
    while (this.#settling.size > 0) await Promise.all(this.#settling)
  }

  #keyOf({ parent, client }: Flow): Key | undefined {
    return parent === undefined ? this.#options.book.of(client.claims) : undefined
  }

  async #checkModel(flow: Flow, key: Key): Promise<void> {
    const models = await modelsIn(flow)
    const model = models.find((one) => !allows(key.models, one))
    if (model !== undefined) flow.respond(this.#options.refusals.forbidden(`this key may not use the model ${model}`))
    else if (models.length > 0 && isAmbiguous(flow, key)) flow.respond(this.#options.refusals.ambiguousModel())
  }

  async #measure(request: LlmRequest): Promise<{ input: number; answer: number }> {
    const { options, tokens } = this.#options.context
    const { tokens: input } = await tokens.countRequest(request)
    const choices = typeof request.body.n === "number" && request.body.n >= 1 ? Math.floor(request.body.n) : 1
    return { input, answer: (request.maxTokens ?? options.reserve) * choices }
  }

  #enter(
    flow: Flow,
    key: Key,
    { input, answer, slots, model }: { input: number; answer: number; slots: number; model: string | undefined },
  ): void | Promise<void> {
    const at = flow.timings.start
    if (isMeasured(key.limits) && this.#options.context.options.clientGone === "drain") flow.onClientGone = "drain"
    if (key.isLimited) return flow.waitFor(this.#reserve(flow, key, { at, input, answer, slots, model }))
    this.#entries.set(flow, { ...UNRESERVED, key, at })
    return undefined
  }

  async #reserve(
    flow: Flow,
    key: Key,
    {
      at,
      input,
      answer,
      slots,
      model,
    }: { at: number; input: number; answer: number; slots: number; model: string | undefined },
  ): Promise<void> {
    const { context, ledger } = this.#options
    const tokens = input + answer
    const isPriced = key.limits.money !== undefined && tokens > 0
    const prices = key.limits.money === undefined ? undefined : await this.#options.prices()
    let money = 0
    if (isPriced && prices !== undefined) {
      const price = priceOf(prices, flow, model, { input, answer, at, waysOf: this.waysOf })
      if (price === undefined && context.options.unknownPrice === "refuse")
        return flow.respond(this.#options.refusals.priceUnknown(model ?? flow.request.path))
      money = price ?? 0
    }
    // Who leaves meanwhile has an entry to settle: nothing stays reserved for nobody.
    let isReserved = (_: boolean) => {}
    const reserved = new Promise<boolean>((resolve) => {
      isReserved = resolve
    })
    const entry: Entry = { key, at, input, tokens, money, prices, reserved, standing: [] }
    this.#entries.set(flow, entry)
    try {
      const { limits } = key
      const verdict = await ledger.reserve({ id: flow.id, key: key.id, at, slots, tokens, money, limits })
      const isIn = !("retryMs" in verdict)
      isReserved(isIn)
      if (isIn) entry.standing = verdict
      else this.#refuse(flow, () => flow.respond(this.#options.refusals.limitReached(verdict)))
    } catch (thrown) {
      isReserved(false)
      context.log.warn(`the ledger cannot be reached: ${String(thrown)}`)
      if (context.options.onDatabaseLost === "refuse")
        this.#refuse(flow, () => flow.respond(this.#options.refusals.databaseLost()))
    }
  }

  #refuse(flow: Flow, respond: () => void): void {
    if (!this.#entries.delete(flow)) return // It has ended meanwhile.
    respond()
  }

  async #settle(flow: Flow, entry: Entry): Promise<void> {
    if (!(await entry.reserved)) return
    const { context, ledger } = this.#options
    const { key, at, input, tokens: reserved, money: reservedMoney, prices } = entry
    const isEstimate = context.options.clientGone === "estimate" && flow.error?.code === "client-gone"
    let note: UsageNote = { tokens: 0, microDollars: undefined, how: "unmeasured" }
    try {
      if (isMeasured(key.limits)) {
        note = isEstimate
          ? { tokens: reserved, microDollars: reservedMoney, how: "estimated" }
          : await costOf(flow, { input, at, prices, tokens: context.tokens, policy: context.options.clientGone })
        flow.metadata[NOTE] = note
      }
    } catch (thrown) {
      context.log.warn(`what a request has used could not be counted, and what was reserved is: ${String(thrown)}`)
      note = { tokens: reserved, microDollars: reservedMoney, how: "estimated" }
    }
    void ledger.settle({ id: flow.id, key: key.id, at, tokens: note.tokens, money: note.microDollars ?? 0 })
  }
}

/** Whether nobody knows which model the upstream will take, and the key's depends on it. Its body was collected, or has none. */
function isAmbiguous({ request }: Flow, key: Key): boolean {
  if (key.models === undefined && key.limits.money === undefined) return false
  try {
    return isNamedTwice(request.text, "model")
  } catch {
    return false // It has no body that was collected.
  }
}

/** Micro-dollars. By the host that the request names; where that has no price for the model, by whoever sells it. */
function priceOf(
  prices: Prices,
  flow: Flow,
  model: string | undefined,
  { input, answer, at, waysOf }: { input: number; answer: number; at: number; waysOf: Accounts["waysOf"] },
): number | undefined {
  if (model === undefined) return undefined
  const usage = {
    inputTokens: input,
    outputTokens: answer,
    totalTokens: input + answer,
    cachedTokens: undefined,
    reasoningTokens: undefined,
    source: "counted",
  } as const
  const { host, port } = flow.request
  const named = port === 443 || port === 80 ? host : `${host}:${port}`
  if (!flow.baseUrl) return prices.of({ host: named, model, usage, at })?.microDollars
  // At our own address it is not decided yet who is asked: the dearest of those that may be is what is reserved.
  const known = waysOf(model).map((way) => {
    const plain = way.model ?? model.slice(model.indexOf("/") + 1)
    return (
      prices.of({ host: way.host, model: plain, usage, at }) ??
      (way.model === undefined ? prices.of({ host: way.host, model, usage, at }) : undefined)
    )
  })
  const priced = known.flatMap((price) => price?.microDollars ?? [])
  if (priced.length > 0) return Math.max(...priced)
  return (prices.of({ host: named, model, usage, at }) ?? prices.of({ host: undefined, model, usage, at }))
    ?.microDollars
}
