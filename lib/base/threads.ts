/**
 * A thread that does jobs, both ends of it: started with the first job, each job gets its answer, and whoever waits hears
 * of a thread that died. It never is the reason that a process stays alive, but for whoever waits for an answer. How many
 * may wait, for how long, and what is tried again, is for those who ask.
 */
import type { Worker } from "node:worker_threads"
import { messageOf } from "./errors.ts"

export interface JobRequest<Job> {
  readonly id: number
  readonly job: Job
}

/** Why a job was not done, as it comes from the thread: an Error's class does not survive the way. */
export interface JobFailure {
  readonly id: number
  readonly error: string
  /** The Error's own. */
  readonly name?: string
}

export type JobReply<Value = unknown, Failure extends JobFailure = JobFailure> =
  | { readonly id: number; readonly value: Value }
  | Failure

/** What a thread says by itself: its id is that of no job. */
export interface JobNotice {
  readonly id: 0
  readonly warning: string
}

export interface JobThreadOptions<Failure extends JobFailure = JobFailure> {
  /** Makes the thread. What it throws, the job rejects with. */
  start(): Worker
  /** A job that the thread has refused. */
  refused(failure: Failure): Error
  /** The thread has ended by itself: for each job that waits. `why`: "exit status 3", or what nobody caught. */
  crashed(why: string): Error
  /** After each answer, when the job is no longer counted. */
  answered?(): void
  warned?(warning: string): void
}

interface Waiting<Value> {
  resolve(value: Value): void
  reject(error: Error): void
}

export class JobThread<Job, Value = unknown, Failure extends JobFailure = JobFailure> {
  readonly #options: JobThreadOptions<Failure>
  readonly #jobs = new Map<number, Waiting<Value>>()
  #worker: Worker | undefined
  #lastId = 0

  constructor(options: JobThreadOptions<Failure>) {
    this.#options = options
  }

  /** Jobs without an answer. */
  get waiting(): number {
    return this.#jobs.size
  }

  get isStarted(): boolean {
    return this.#worker !== undefined
  }

  /** The thread takes jobs in their order. */
  ask(job: Job): Promise<Value> {
    return new Promise((resolve, reject) => {
      const worker = this.#started()
      const request: JobRequest<Job> = { id: ++this.#lastId, job }
      worker.postMessage(request)
      this.#jobs.set(request.id, { resolve, reject })
      worker.ref() // Who waits for an answer keeps the process alive.
    })
  }

  /** A job whose answer nobody waits for. Starts no thread. */
  tell(job: Job): void {
    this.#worker?.postMessage({ id: 0, job } satisfies JobRequest<Job>)
  }

  /** Lets go of the thread, and gives it to whoever ends it; whoever waits is refused. A later job starts another one. */
  release(why: Error): Worker | undefined {
    const worker = this.#worker
    this.#worker = undefined
    this.#rejectAll(why)
    return worker
  }

  #started(): Worker {
    this.#worker ??= this.#start()
    return this.#worker
  }

  #start(): Worker {
    const worker = this.#options.start()
    worker.on("message", (message: JobReply<Value, Failure> | JobNotice) => this.#take(message))
    worker.on("error", (error) => this.#ended(worker, messageOf(error)))
    worker.on("exit", (code) => this.#ended(worker, `exit status ${code}`))
    worker.unref()
    return worker
  }

  #take(message: JobReply<Value, Failure> | JobNotice): void {
    if ("warning" in message) {
      this.#options.warned?.(message.warning)
      return
    }
    const job = this.#jobs.get(message.id)
    if (job === undefined) return
    this.#jobs.delete(message.id)
    if (this.#jobs.size === 0) this.#worker?.unref()
    this.#options.answered?.()
    if ("error" in message) job.reject(this.#options.refused(message))
    else job.resolve(message.value)
  }

  #ended(worker: Worker, why: string): void {
    if (worker !== this.#worker) return
    this.#worker = undefined
    this.#rejectAll(this.#options.crashed(why))
  }

  #rejectAll(error: Error): void {
    const jobs = [...this.#jobs.values()]
    this.#jobs.clear()
    for (const job of jobs) job.reject(error)
  }
}

/** The part of a message port that a thread needs. */
export interface JobPort<Job> {
  on(event: "message", listener: (request: JobRequest<Job>) => void): unknown
  postMessage(reply: JobReply): void
}

/** The thread's side: answers every request, also one that fails. Jobs may overlap. */
export function serveJobs<Job>(port: JobPort<Job>, work: (job: Job) => Promise<unknown>): void {
  port.on("message", ({ id, job }) => {
    work(job).then(
      (value) => port.postMessage({ id, value }),
      (thrown: unknown) => port.postMessage({ id, error: messageOf(thrown), name: nameOf(thrown) }),
    )
  })
}

function nameOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.name : "Error"
}
