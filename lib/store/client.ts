/**
 * The store as the proxy sees it: flows and addons' records, kept by a thread of its own (thread-link.ts). Flows wait in a
 * bounded queue (flow-queue.ts), records' calls in their order (record-calls.ts).
 */
import type { AddonStore, FlowHistory, HistoryLimits, StoreService } from "../addon-store.ts"
import { type Clock, systemClock } from "../clock.ts"
import { messageOf } from "../errors.ts"
import type { FlowSnapshot } from "../flow.ts"
import { parseJson } from "../llm/json.ts"
import type { Logger } from "../log.ts"
import { FlowQueue } from "./flow-queue.ts"
import { RecordCalls } from "./record-calls.ts"
import { Pauses } from "./retry.ts"
import type { StoreJob } from "./thread.ts"
import { ThreadLink, troubleOf } from "./thread-link.ts"

/** Milliseconds that the end of the program waits for what is not stored yet. */
const CLOSE_MS_MAX = 5_000
/** Tries of opening the file before the port opens: some 3 seconds. Flows try again later. */
const OPEN_TRIES_MAX = 6

export interface StoreClientOptions {
  readonly file: string
  readonly log: Logger
  readonly clock?: Clock
  /** The thread's module, one that needs none of this program's Node flags. Default: thread-link.ts. */
  readonly script?: URL
  readonly limits?: { readonly flows?: number; readonly bytes?: number }
  /** The program's own secrets as they are now. Default: none. */
  secrets?(): readonly string[]
}

export class StoreClient implements StoreService {
  readonly history: FlowHistory
  readonly #options: StoreClientOptions
  readonly #clock: Clock
  readonly #thread: ThreadLink
  readonly #flows: FlowQueue
  readonly #calls: RecordCalls
  /** Before the file is opened again. */
  readonly #pauses: Pauses
  #opening: Promise<void> | undefined
  #isClosed = false

  constructor(options: StoreClientOptions) {
    const { clock = systemClock, log, limits = {} } = options
    this.#options = options
    this.#clock = clock
    this.#thread = new ThreadLink(options)
    this.#calls = new RecordCalls(clock)
    this.#pauses = new Pauses(clock)
    this.#flows = new FlowQueue({ store: (snapshots) => this.#store(snapshots), clock, log, limits })
    this.history = {
      open: () => {
        this.#opening ??= this.#open()
        return this.#opening
      },
      record: (snapshot) => this.#flows.add(snapshot),
      retain: (limits) => this.#retain(limits),
      flush: () => this.#flows.flush(),
    }
  }

  records(addon: string, name: string): AddonStore {
    const of = { addon, name }
    const ask = (job: StoreJob) => this.#calls.add(addon, () => this.#thread.ask(job))
    return {
      get: async (key) => valueIn(await ask({ kind: "get", ...of, key })),
      set: async (key, value) => void (await ask({ kind: "set", ...of, key, value })),
      delete: async (key) => void (await ask({ kind: "delete", ...of, key })),
      entries: async (after = "") => {
        const found = (await ask({ kind: "entries", ...of, after })) as [string, string][]
        return found.map(([key, json]) => [key, valueIn(json) ?? null])
      },
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#flows.close()
    this.#calls.close()
    this.#pauses.end()
    let cancel = () => {}
    const late = new Promise<void>((resolve) => {
      cancel = this.#clock.after(CLOSE_MS_MAX, resolve).cancel
    })
    await Promise.race([this.#end(), late])
    cancel()
    this.#flows.finish()
    await this.#thread.end()
  }

  async #end(): Promise<void> {
    await this.#flows.flush()
    if (!this.#thread.isStarted) return
    try {
      await this.#thread.ask({ kind: "close" })
    } catch (thrown) {
      this.#options.log.warn(`history: the file was not closed in order: ${messageOf(thrown)}`)
    }
  }

  async #open(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#thread.ask({ kind: "open" })
        return
      } catch (thrown) {
        const { kind, message } = troubleOf(thrown)
        if (kind === "lasting" || tries >= OPEN_TRIES_MAX || this.#isClosed) {
          this.#options.log.warn(`history: ${this.#options.file} cannot be opened: ${message}; the traffic goes on`)
          return
        }
      }
      await this.#pauses.before(tries)
    }
  }

  #retain(limits: HistoryLimits): void {
    this.#thread.retain(limits)
  }

  async #store(snapshots: readonly FlowSnapshot[]): Promise<ReadonlyMap<string, string>> {
    const failed = await this.#thread.ask({ kind: "store", snapshots, secrets: this.#options.secrets?.() ?? [] })
    return failed instanceof Map ? failed : new Map()
  }
}

function valueIn(json: unknown): ReturnType<typeof parseJson> {
  return typeof json === "string" ? parseJson(json) : undefined
}
