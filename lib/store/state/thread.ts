/**
 * The thread of state.db, its inner side: addons' records and their own tables. A thread of its own beside the history's,
 * so that no record waits for the hashes of a conversation. Jobs may overlap: a transaction is several of them, and what
 * else comes waits for its end within the database. The other side is client.ts.
 */

import { type Clock, systemClock } from "../../base/clock.ts"
import type { JobFailure, JobNotice, JobReply, JobRequest } from "../../base/threads.ts"
import {
  type Database,
  type DatabaseSources,
  openState,
  stateFailure,
  type Trouble,
  troubleIn,
  troubleMessage,
} from "../database.ts"
import { type RecordPlace, Records } from "./records.ts"
import { type StateSchema, stateSteps } from "./schema.ts"
import { type Statement, Statements } from "./statements.ts"

/** Times that one job is asked of the database. */
const TRIES_MAX = 3

/** What is done with a record; `json`, `seen`: as kept. */
export type RecordDeed =
  | { readonly what: "get" }
  | { readonly what: "set"; readonly json: string }
  | { readonly what: "delete" }
  | { readonly what: "swap"; readonly seen: string | undefined; readonly json: string }
  | { readonly what: "increment"; readonly by: number; readonly expires: number | undefined }

interface Asked {
  /** Epoch milliseconds by the clock of whoever asks: what has run out by then is over. Default: the thread's own. */
  readonly now?: number
}

export type StateJob =
  | { readonly kind: "open" }
  | ({ readonly kind: "record"; readonly place: RecordPlace; readonly key: string } & RecordDeed & Asked)
  | ({ readonly kind: "entries"; readonly place: RecordPlace; readonly after: string } & Asked)
  | ({ readonly kind: "statement"; readonly transaction: number | undefined } & Statement)
  | { readonly kind: "begin"; readonly transaction: number }
  | { readonly kind: "end"; readonly transaction: number; readonly how: "commit" | "rollback" }
  | { readonly kind: "close" }

interface StateFailure extends JobFailure {
  readonly trouble: Trouble
}

export interface StatePort {
  on(event: "message", listener: (request: JobRequest<StateJob>) => void): unknown
  postMessage(reply: JobReply<unknown, StateFailure> | JobNotice): void
  /** Lets the thread end. */
  close(): void
}

export interface StateThreadOptions {
  readonly file: string
  /** From which records are taken over when the file is made. */
  readonly history: string
  readonly clock?: Clock
  readonly sources?: DatabaseSources | undefined
}

/** Answers every request, also one that fails. */
export function serveState(port: StatePort, options: StateThreadOptions): void {
  const thread = new StateThread(options, (warning) => port.postMessage({ id: 0, warning }))
  port.on("message", ({ id, job }) => {
    const done = thread.do(job).then(
      (value) => port.postMessage({ id, value }),
      (thrown: unknown) => {
        const told = stateFailure(options.file, thrown)
        port.postMessage({ id, error: troubleMessage(told), trouble: troubleIn(thrown) })
      },
    )
    if (job.kind === "close") void done.then(() => port.close())
  })
}

interface Opened {
  readonly database: Database<StateSchema>
  readonly records: Records
  readonly statements: Statements
}

class StateThread {
  readonly #options: StateThreadOptions
  readonly #warn: (warning: string) => void
  readonly #clock: Clock
  /** The time of the latest job that told one. */
  #told: number | undefined
  #opening: Promise<Opened> | undefined
  readonly #running = new Set<Promise<unknown>>()

  constructor(options: StateThreadOptions, warn: (warning: string) => void) {
    this.#options = options
    this.#warn = warn
    this.#clock = options.clock ?? systemClock
  }

  do(job: StateJob): Promise<unknown> {
    if (job.kind === "close") return this.#close()
    const work = this.#do(job)
    this.#running.add(work)
    const forget = () => void this.#running.delete(work)
    work.then(forget, forget)
    return work
  }

  /** A connection may have ended before the driver knows of it. What only reads or begins is then asked again on another one. */
  async #do(job: Exclude<StateJob, { kind: "close" }>): Promise<unknown> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#done(job)
      } catch (thrown) {
        if (tries >= TRIES_MAX || troubleIn(thrown) !== "unknown" || !changesNothing(job)) throw thrown
      }
    }
  }

  async #done(job: Exclude<StateJob, { kind: "close" }>): Promise<unknown> {
    const { database, records, statements } = await this.#opened()
    await database.check()
    if ("now" in job) this.#told = job.now
    switch (job.kind) {
      case "open":
        return undefined
      case "record":
        return await recorded(records, job)
      case "entries":
        return await records.entries(job.place, job.after)
      case "statement":
        return await statements.run(job, job.transaction)
      case "begin":
        return await statements.begin(job.transaction)
      case "end":
        return await statements.end(job.transaction, job.how)
    }
  }

  /** One that failed is tried again with the next job. */
  #opened(): Promise<Opened> {
    this.#opening ??= this.#open().catch((thrown: unknown) => {
      this.#opening = undefined
      throw thrown
    })
    return this.#opening
  }

  async #open(): Promise<Opened> {
    const { file, history, sources } = this.#options
    const steps = stateSteps({ history, sources, warn: this.#warn })
    const database = await openState<StateSchema>({ file, steps, sources })
    const records = new Records(database.db, () => this.#told ?? this.#clock.now())
    return { database, records, statements: new Statements(database.db, this.#clock) }
  }

  async #close(): Promise<void> {
    const opened = await this.#opening?.catch(() => undefined)
    await opened?.statements.close()
    await Promise.allSettled(this.#running)
    await opened?.database.close()
  }
}

function changesNothing(job: StateJob): boolean {
  return job.kind === "entries" || job.kind === "begin" || (job.kind === "record" && job.what === "get")
}

function recorded(records: Records, job: StateJob & { kind: "record" }): Promise<unknown> {
  const { place, key } = job
  switch (job.what) {
    case "get":
      return records.get(place, key)
    case "set":
      return records.set(place, key, job.json)
    case "delete":
      return records.delete(place, key)
    case "swap":
      return records.swap(place, key, job.seen, job.json)
    case "increment":
      return records.increment(place, key, job.by, job.expires)
  }
}
