/**
 * The state as the proxy sees it: addons' records and tables, kept in state.db by a thread of its own (thread.ts). Calls
 * wait in their order (record-calls.ts). Nothing here loads a database: that is the thread's, and kysely is loaded with
 * the first addon that has tables.
 */
import type { Kysely } from "kysely"
import type { Records, TableMigration } from "../../api/store.ts"
import { type Clock, systemClock } from "../../base/clock.ts"
import { messageOf, StartError } from "../../base/errors.ts"
import { type JsonValue, parseJson } from "../../base/json.ts"
import type { Logger } from "../../base/log.ts"
import { languageOf, shownPlace } from "../places.ts"
import { type CallOptions, RecordCalls } from "../record-calls.ts"
import { ThreadLink } from "../thread-link.ts"
import type { RecordDeed, StateJob } from "./thread.ts"

/** Milliseconds that the end of the program waits for calls that are not done. */
const CLOSE_MS_MAX = 5_000
/** Tries of an update: each one that fails is one that somebody else has won. */
const UPDATE_TRIES_MAX = 100
/** Characters of one record's JSON. */
const RECORD_CHARS_MAX = 16_777_216

export interface StateClientOptions {
  /** A file, or a URL of PostgreSQL's. */
  readonly file: string
  /** The history beside it, from which records are taken over when the file is made. */
  readonly history: string
  readonly log: Logger
  readonly clock?: Clock
  /** The thread's module, one that needs none of this program's Node flags. Default: thread-link.ts. */
  readonly script?: URL
}

export class StateClient {
  readonly #options: StateClientOptions
  readonly #clock: Clock
  readonly #thread: ThreadLink<StateJob>
  readonly #calls: RecordCalls
  #isClosed = false

  constructor(options: StateClientOptions) {
    const { clock = systemClock } = options
    this.#options = options
    this.#clock = clock
    this.#thread = new ThreadLink({ serves: "state", ...options })
    this.#calls = new RecordCalls(clock)
  }

  /** Opens the file, and makes it where there is none. Rejects with a StartError when that cannot be. */
  async open(): Promise<void> {
    try {
      await this.#calls.tried(() => this.#thread.ask({ kind: "open" }))
    } catch (thrown) {
      const message = messageOf(thrown)
      const file = shownPlace(this.#options.file)
      throw new StartError(message.includes(file) ? message : `${file} cannot be opened: ${message}`)
    }
  }

  records(addon: string, name: string): Records {
    if (typeof name !== "string") throw new TypeError(`records: a name is a text, and this is ${typeof name}`)
    const place = { addon, name }
    const call = <T>(work: () => Promise<T>, options?: CallOptions) => this.#calls.add(addon, work, options)
    const now = () => this.#clock.now()
    const ask = (key: string, deed: RecordDeed) => this.#thread.ask({ kind: "record", place, key, now: now(), ...deed })
    return {
      get: async (key) => {
        checkKey(key)
        return valueIn(await call(() => ask(key, { what: "get" })))
      },
      set: async (key, value) => {
        checkKey(key)
        const json = jsonOf(key, value)
        await call(() => ask(key, { what: "set", json }))
      },
      delete: async (key) => {
        checkKey(key)
        await call(() => ask(key, { what: "delete" }))
      },
      entries: async (after = "") => {
        checkKey(after)
        const work = () => this.#thread.ask({ kind: "entries", place, after, now: now() })
        const found = (await call(work)) as [string, string][]
        return found.map(([key, json]) => [key, valueIn(json) ?? null])
      },
      update: async (key, change) => {
        checkKey(key)
        return await call(() => updated(key, change, ask), { isOnce: true })
      },
      increment: async (key, by = 1, { expires } = {}) => {
        checkKey(key)
        if (!Number.isSafeInteger(by)) throw new RangeError(`increment "${key}": ${by} is no whole number`)
        if (expires !== undefined && !(Number.isFinite(expires) && expires >= 0))
          throw new RangeError(`increment "${key}": expires ${expires}: it must be milliseconds, 0 or more`)
        const count = await call(() => ask(key, { what: "increment", by, expires }), { isOnce: true })
        if (typeof count === "number") return count
        throw new Error(`increment "${key}": the record is no whole number, or would be too large to be one`)
      },
    }
  }

  async tables<Tables>(addon: string, migrations: readonly TableMigration[]): Promise<Kysely<Tables>> {
    const { openTables } = await import("./tables.ts")
    const ask = (job: StateJob, options?: CallOptions) => this.#calls.tried(() => this.#thread.ask(job), options)
    const language = languageOf(this.#options.file)
    return await openTables<Tables>({ addon, migrations, ask, language, now: () => this.#clock.now() })
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#calls.close()
    let cancel = () => {}
    const late = new Promise<void>((resolve) => {
      cancel = this.#clock.after(CLOSE_MS_MAX, resolve).cancel
    })
    await Promise.race([this.#end(), late])
    cancel()
    await this.#thread.end()
  }

  async #end(): Promise<void> {
    await this.#calls.settled()
    if (!this.#thread.isStarted) return
    try {
      await this.#thread.ask({ kind: "close" })
    } catch (thrown) {
      this.#options.log.warn(`state: the file was not closed in order: ${messageOf(thrown)}`)
    }
  }
}

/** Compare and set, until it holds. */
async function updated(
  key: string,
  change: Parameters<Records["update"]>[1],
  ask: (key: string, deed: RecordDeed) => Promise<unknown>,
): Promise<JsonValue | undefined> {
  for (let tries = 0; tries < UPDATE_TRIES_MAX; tries++) {
    const found = await ask(key, { what: "get" })
    const seen = typeof found === "string" ? found : undefined
    const before = valueIn(seen)
    const after: unknown = change(before)
    if (after === undefined) return valueIn(seen)
    const json = jsonOf(key, after)
    if ((await ask(key, { what: "swap", seen, json })) === true) return valueIn(json)
  }
  throw new Error(`update "${key}": others changed it each of ${UPDATE_TRIES_MAX} times; try again`)
}

/** SQL would take a number for a text, and of nothing it would say what no author understands. */
function checkKey(key: unknown): void {
  if (typeof key !== "string") throw new TypeError(`record ${typeof key}: a key is a text; write String(key)`)
}

/** Throws a TypeError for what is no JSON. */
function jsonOf(key: string, value: unknown): string {
  const json: string | undefined = value instanceof Promise ? undefined : JSON.stringify(value)
  if (json === undefined) throw new TypeError(`record "${key}": the value is no JSON`)
  if (json.length <= RECORD_CHARS_MAX) return json
  throw new RangeError(`record "${key}": ${json.length} characters of JSON, and at most ${RECORD_CHARS_MAX} are kept`)
}

function valueIn(json: unknown): JsonValue | undefined {
  return typeof json === "string" ? parseJson(json) : undefined
}
