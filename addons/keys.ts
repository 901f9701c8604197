/**
 * Asks everybody for a key: at the proxy's own address, through it, in CONNECT, SOCKS5 and upgrades. A key has an owner, a team, tags,
 * scopes and limits; who asks is told to other addons as claims, and what is used is counted in the database, which several
 * llmproxies may share. docs/keys.md says how it is used.
 */
import { randomUUID } from "node:crypto"
import { type AddonContext, defineAddon, openPrices, type Prices, type Timer } from "llmproxy"
import { Accounts } from "./keys/account.ts"
import { type Key, KeyBook, masterFrom } from "./keys/book.ts"
import { declareKeys } from "./keys/command.ts"
import { Doorman } from "./keys/doorman.ts"
import { serveAuth } from "./keys/endpoints.ts"
import type { Ledger } from "./keys/ledger.ts"
import { openRedisLedger } from "./keys/ledger-redis.ts"
import { SqlLedger } from "./keys/ledger-sql.ts"
import { OPTIONS } from "./keys/options.ts"
import { Refusals } from "./keys/refusals.ts"
import { makeKey } from "./keys/secret.ts"
import { MIGRATIONS, type Tables } from "./keys/tables.ts"
import { Tries } from "./keys/tries.ts"
import { hearNames } from "./shared/named-models.ts"

/** A reservation is renewed so many times within its lease. */
const RENEWALS = 3

interface Opened {
  readonly book: KeyBook
  readonly doorman: Doorman
  readonly ledger: Ledger
  readonly accounts: Accounts
}

export default defineAddon({
  name: "keys",
  // A request about which is not known whose it is, or what it costs, does not pass.
  onError: "block",
  asks: "everywhere",
  reads: "llm",
  options: OPTIONS,
  setup(context) {
    const { serve, command, clock, options } = context
    const opening = open(context, new Refusals(context.metrics))
    opening.catch(() => {}) // `load` tells of it.
    let opened: Opened | undefined
    let renewal: Timer | undefined
    const present = (): Opened => {
      if (opened === undefined) throw new Error("the keys are not open yet")
      return opened
    }
    const renew = () => {
      void present().ledger.renew()
      renewal = clock.after((options.lease * 1_000) / RENEWALS, renew)
    }
    serveAuth(serve, () => opening)
    declareKeys(command, () => opening)
    return {
      async load() {
        opened = await opening
        if (options.master === "") await makeMaster(opened.book)
        // A file with a mistake in it is told of now, and not to the first client.
        if (options.pricesFile !== "") await openPrices(options.pricesFile)
        opened.accounts.waysOf = await hearNames(context.events)
        renew()
      },
      authenticate: (asked) => present().doorman.authenticate(asked),
      requestHeaders: (flow) => present().accounts.head(flow),
      request: (flow) => present().accounts.request(flow),
      llmRequest: (flow) => present().accounts.llmRequest(flow),
      responseHeaders: (flow) => present().accounts.responseHeaders(flow),
      response: (flow) => present().accounts.end(flow),
      error: (flow) => present().accounts.end(flow),
      async done() {
        renewal?.cancel()
        if (opened === undefined) return
        await opened.accounts.settled()
        await opened.ledger.close()
        await opened.book.noteUses()
      },
    }
  },
})

async function open(context: AddonContext<typeof OPTIONS>, refusals: Refusals): Promise<Opened> {
  const { tables, clock, log, options } = context
  const db = await tables<Tables>(MIGRATIONS)
  const book = new KeyBook(db, clock, log)
  let master: { readonly text: string; readonly key: Key } | undefined
  const masterKey = () => {
    const text = options.master
    if (text === "") return undefined
    if (master?.text !== text) {
      master = { text, key: masterFrom(text) }
      book.introduce(master.key)
    }
    return master.key
  }
  const doorman = new Doorman({ book, tries: new Tries(clock), clock, refusals, master: masterKey })
  const lease = () => options.lease * 1_000
  const ledger =
    options.redis === ""
      ? new SqlLedger({ db, clock, log, process: randomUUID(), lease })
      : await openRedisLedger(options.redis, { clock, log, lease })
  let prices: { readonly file: string; readonly opened: Promise<Prices> } | undefined
  const openedPrices = () => {
    const { pricesFile: file } = options
    if (prices?.file !== file) prices = { file, opened: openPrices(file === "" ? undefined : file) }
    return prices.opened
  }
  return { book, doorman, ledger, accounts: new Accounts({ context, book, ledger, refusals, prices: openedPrices }) }
}

/** Past the log, which blanks keys out: this one has to be read once. */
async function makeMaster(book: KeyBook): Promise<void> {
  if (await book.hasMaster()) return
  const key = makeKey()
  if (!(await book.createMaster(key))) return
  process.stderr.write(
    `The master key, shown this once: ${key}\nMake others with it, or with: llmproxy keys create --label NAME\n`,
  )
}
