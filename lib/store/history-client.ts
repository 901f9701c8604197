/**
 * The history as the proxy sees it: flows, kept by a thread of its own (thread-link.ts). They wait in a bounded queue
 * (flow-queue.ts).
 */

import type { FlowSnapshot } from "../api/flow.ts"
import type { FlowHistory, HistoryLimits } from "../api/store.ts"
import { type Clock, systemClock } from "../base/clock.ts"
import { messageOf } from "../base/errors.ts"
import type { Logger } from "../base/log.ts"
import { FlowQueue } from "./flow-queue.ts"
import { shownPlace } from "./places.ts"
import { Pauses } from "./retry.ts"
import type { StoreJob } from "./thread.ts"
import { ThreadLink, troubleOf } from "./thread-link.ts"

/** Milliseconds that the end of the program waits for what is not stored yet. */
const CLOSE_MS_MAX = 5_000
/** Tries of opening the file before the port opens: some 3 seconds. Flows try again later. */
const OPEN_TRIES_MAX = 6

export interface HistoryClientOptions {
  readonly file: string
  readonly log: Logger
  readonly clock?: Clock
  /** The thread's module, one that needs none of this program's Node flags. Default: thread-link.ts. */
  readonly script?: URL
  readonly limits?: { readonly flows?: number; readonly bytes?: number }
  /** The program's own secrets as they are now. Default: none. */
  secrets?(): readonly string[]
}

export class HistoryClient {
  readonly history: FlowHistory
  readonly #options: HistoryClientOptions
  readonly #clock: Clock
  readonly #thread: ThreadLink<StoreJob>
  readonly #flows: FlowQueue
  /** Before the file is opened again. */
  readonly #pauses: Pauses
  /** For this thread and those that are started in its place. */
  #limits: HistoryLimits | undefined
  #opening: Promise<void> | undefined
  #isClosed = false

  constructor(options: HistoryClientOptions) {
    const { clock = systemClock, log, limits = {} } = options
    this.#options = options
    this.#clock = clock
    const { file, script } = options
    this.#thread = new ThreadLink({
      serves: "history",
      file,
      log,
      ...(script === undefined ? {} : { script }),
      first: () => this.#limits && { kind: "retain", retention: this.#limits },
    })
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

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#flows.close()
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
          this.#options.log.warn(
            `history: ${shownPlace(this.#options.file)} cannot be opened: ${message}; the traffic goes on`,
          )
          return
        }
      }
      await this.#pauses.before(tries)
    }
  }

  #retain(limits: HistoryLimits): void {
    this.#limits = limits
    this.#thread.tell({ kind: "retain", retention: limits })
  }

  async #store(snapshots: readonly FlowSnapshot[]): Promise<ReadonlyMap<string, string>> {
    const failed = await this.#thread.ask({ kind: "store", snapshots, secrets: this.#options.secrets?.() ?? [] })
    return failed instanceof Map ? failed : new Map()
  }
}
