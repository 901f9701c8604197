/**
 * The store, loaded when something is kept: a program without a recorder never pays for one. The first flows wait for the
 * module here, which is a matter of milliseconds.
 */
import type { AddonStore, FlowHistory, HistoryLimits, StoreService } from "../addon-store.ts"
import type { StoreClient, StoreClientOptions } from "./client.ts"

export class LazyStore implements StoreService {
  readonly #options: StoreClientOptions
  #loading: Promise<StoreClient> | undefined
  #limits: HistoryLimits | undefined
  #isClosed = false

  constructor(options: StoreClientOptions) {
    this.#options = options
  }

  readonly history: FlowHistory = {
    record: async (snapshot) => {
      const client = await this.#client()
      return client.history.record(snapshot)
    },
    retain: (limits) => {
      this.#limits = limits
      void this.#loading?.then((client) => client.history.retain(limits))
    },
    flush: async () => (await this.#loading)?.history.flush(),
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
    await (await this.#loading)?.close()
  }

  #client(): Promise<StoreClient> {
    this.#loading ??= import("./client.ts").then(async ({ StoreClient }) => {
      const client = new StoreClient(this.#options)
      if (this.#limits !== undefined) client.history.retain(this.#limits)
      if (this.#isClosed) await client.close()
      return client
    })
    return this.#loading
  }
}
