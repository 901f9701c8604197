/**
 * The store, loaded when something is kept: a program without a recorder, and without addons that note something, never
 * pays for one. The history and the state are loaded apart, each with its first use; what comes meanwhile waits here,
 * which is a matter of milliseconds.
 */
import { existsSync } from "node:fs"
import type { Kysely } from "kysely"
import type { FlowHistory, HistoryLimits, Records, StoreService, TableMigration } from "../api/store.ts"
import type { Clock } from "../base/clock.ts"
import { messageOf } from "../base/errors.ts"
import { Lazy } from "../base/lazy.ts"
import type { Logger } from "../base/log.ts"
import type { HistoryClient } from "./history-client.ts"
import { isPostgresUrl, type StorePlaces } from "./places.ts"
import type { StateClient } from "./state/client.ts"

export interface LazyStoreOptions extends StorePlaces {
  readonly log: Logger
  readonly clock?: Clock
  /** The threads' module, one that needs none of this program's Node flags. Default: thread-link.ts. */
  readonly script?: URL
  /** The program's own secrets as they are now. Default: none. */
  secrets?(): readonly string[]
}

export class LazyStore implements StoreService {
  readonly #options: LazyStoreOptions
  readonly #history: Lazy<HistoryClient>
  readonly #state: Lazy<StateClient>
  #limits: HistoryLimits | undefined
  /** Begun when an addon asks for a place of its own. Undefined: nobody has, or there is no file yet. */
  #opening: Promise<void> | undefined

  constructor(options: LazyStoreOptions) {
    this.#options = options
    const { historyFile, stateFile, ...others } = options
    this.#history = new Lazy(async () => {
      const { HistoryClient } = await import("./history-client.ts")
      const client = new HistoryClient({ file: historyFile, ...others })
      if (this.#limits !== undefined) client.history.retain(this.#limits)
      return client
    })
    this.#state = new Lazy(async () => {
      const { StateClient } = await import("./state/client.ts")
      return new StateClient({ file: stateFile, history: historyFile, ...others })
    })
  }

  readonly history: FlowHistory = {
    open: async () => (await this.#recorder())?.open(),
    record: async (snapshot) => (await this.#recorder())?.record(snapshot) ?? false,
    retain: (limits) => {
      this.#limits = limits
      this.#history.loaded?.history.retain(limits)
    },
    flush: async () => {
      if (this.#history.isWanted) await (await this.#recorder())?.flush()
    },
  }

  records(addon: string, name: string): Records {
    this.#open()
    const records = async () => (await this.#state.get()).records(addon, name)
    return {
      get: async (key) => (await records()).get(key),
      set: async (key, value) => (await records()).set(key, value),
      delete: async (key) => (await records()).delete(key),
      entries: async (after) => (await records()).entries(after),
      update: async (key, change) => (await records()).update(key, change),
      increment: async (key, by, options) => (await records()).increment(key, by, options),
    }
  }

  async tables<Tables>(addon: string, migrations: readonly TableMigration[]): Promise<Kysely<Tables>> {
    this.#open()
    return await (await this.#state.get()).tables<Tables>(addon, migrations)
  }

  async ready(): Promise<void> {
    // A server that was named and is not there stops the start, whoever will need it.
    if (isPostgresUrl(this.#options.stateFile)) this.#open()
    await this.#opening
  }

  async close(): Promise<void> {
    await Promise.all([this.#history.close(), this.#state.close()])
  }

  /** At once, so that the start does not wait for it in the end. What is not there yet is made with the first record. */
  #open(): void {
    const { stateFile } = this.#options
    if (this.#opening !== undefined || !(isPostgresUrl(stateFile) || existsSync(stateFile))) return
    this.#opening = this.#state.get().then((client) => client.open())
    this.#opening.catch(() => {}) // Told by `ready`, and by whatever is asked.
  }

  /** The history; undefined when the store cannot be loaded, which is said. */
  async #recorder(): Promise<FlowHistory | undefined> {
    try {
      return (await this.#history.get()).history
    } catch (thrown) {
      this.#options.log.warn(`history: flows are not recorded: ${messageOf(thrown)}; the traffic goes on`)
      return undefined
    }
  }
}
