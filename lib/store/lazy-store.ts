/**
 * The store, loaded when something is kept: a program without a recorder never pays for one. The first flows wait for the
 * module here, which is a matter of milliseconds.
 */
import type { AddonStore, FlowHistory, HistoryLimits, StoreService } from "../addon-store.ts"
import { messageOf } from "../errors.ts"
import type { StoreClient, StoreClientOptions } from "./client.ts"

export class LazyStore implements StoreService {
  readonly #options: StoreClientOptions
  #loading: Promise<StoreClient> | undefined
  #loaded: StoreClient | undefined
  #limits: HistoryLimits | undefined
  #isClosed = false

  constructor(options: StoreClientOptions) {
    this.#options = options
  }

  readonly history: FlowHistory = {
    open: async () => (await this.#recorder())?.open(),
    record: async (snapshot) => (await this.#recorder())?.record(snapshot) ?? false,
    retain: (limits) => {
      this.#limits = limits
      this.#loaded?.history.retain(limits)
    },
    flush: async () => {
      if (this.#loading !== undefined) await (await this.#recorder())?.flush()
    },
  }

  records(addon: string, name: string): AddonStore {
    const records = async () => (await this.#client()).records(addon, name)
    return {
      get: async (key) => (await records()).get(key),
      set: async (key, value) => (await records()).set(key, value),
      delete: async (key) => (await records()).delete(key),
      entries: async (after) => (await records()).entries(after),
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#loading?.catch(() => {}) // Said where it failed.
    await this.#loaded?.close()
  }

  /** The history; undefined when the store cannot be loaded, which is said. */
  async #recorder(): Promise<FlowHistory | undefined> {
    try {
      return (await this.#client()).history
    } catch (thrown) {
      this.#options.log.warn(`history: flows are not recorded: ${messageOf(thrown)}; the traffic goes on`)
      return undefined
    }
  }

  #client(): Promise<StoreClient> {
    this.#loading ??= this.#load()
    return this.#loading
  }

  async #load(): Promise<StoreClient> {
    try {
      const { StoreClient } = await import("./client.ts")
      const client = new StoreClient(this.#options)
      this.#loaded = client
      if (this.#limits !== undefined) client.history.retain(this.#limits)
      if (this.#isClosed) await client.close()
      return client
    } catch (thrown) {
      this.#loading = undefined // The next one tries again.
      throw thrown
    }
  }
}
