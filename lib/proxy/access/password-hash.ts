/**
 * Checks a password against a bcrypt or argon2 hash, both ends of the thread that does it: such a hash takes a tenth of
 * a second on purpose, and the event loop carries everybody's traffic. The thread's entry is this same file, so it
 * starts from source and from dist alike; it starts with the first check and never keeps the process alive.
 * Who may try, and how often, is access.ts's.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { FlowError } from "../../base/errors.ts"
import { type JobPort, JobThread, serveJobs } from "../../base/threads.ts"

// Checks that wait. One takes some 0.1 s, so beyond these a client would wait for longer than it stays.
const WAITING_MAX = 64
// What bcrypt reads of a password; every implementation passes over the rest.
const BCRYPT_BYTES_MAX = 72
/** bcrypt: the binary logarithm of its rounds. At 16 a check takes some 4 s. */
const BCRYPT_COST_MAX = 16
/** argon2: KiB that one check takes of this machine's memory. */
const ARGON_MEMORY_KIB_MAX = 1_048_576
/** argon2: how often that memory is gone through. */
const ARGON_ITERATIONS_MAX = 64
/** argon2: parts of that memory, which are gone through one after the other here. */
const ARGON_PARALLELISM_MAX = 16
const THREAD_MARK = "llmproxy password check"

/** What the thread is asked. */
interface PasswordJob {
  readonly hash: string
  readonly password: string
}

/** bcrypt as htpasswd writes it ($2a$, $2b$, $2y$), or argon2 in its encoded form (RFC 9106, PHC string). */
export function isKnownHash(hash: string): boolean {
  return (
    /^\$2[aby]\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}$/.test(hash) ||
    /^\$argon2(?:id|i|d)\$v=19\$m=\d{1,10},t=\d{1,10},p=\d{1,8}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{11,}$/.test(hash)
  )
}

/**
 * Which limit the cost of a known hash is above, in words that do not show the hash; undefined for none. Whoever
 * can connect can have hashes checked, so what one check costs is what an attack costs us.
 */
export function excessiveCost(hash: string): string | undefined {
  const costs: readonly (readonly [what: string, pattern: RegExp, max: number])[] = hash.startsWith("$argon2")
    ? [
        ["argon2's memory (m, in KiB)", /[$,]m=(\d+)/, ARGON_MEMORY_KIB_MAX],
        ["argon2's iterations (t)", /,t=(\d+)/, ARGON_ITERATIONS_MAX],
        ["argon2's parallelism (p)", /,p=(\d+)/, ARGON_PARALLELISM_MAX],
      ]
    : [["bcrypt's cost", /^\$2[aby]\$(\d\d)/, BCRYPT_COST_MAX]]
  for (const [what, pattern, max] of costs) {
    const cost = Number(pattern.exec(hash)?.[1])
    if (cost > max) return `${what} is ${cost}, and at most ${max} is accepted`
  }
  return undefined
}

export class PasswordThread {
  readonly #thread: JobThread<PasswordJob, boolean>

  /** `script`: the thread's module. Default: this file. */
  constructor(script = new URL(import.meta.url)) {
    this.#thread = new JobThread({
      start: () => new Worker(script, { workerData: THREAD_MARK }),
      refused: ({ error }) => unavailable(error),
      crashed: (why) => unavailable(`the thread ended (${why})`),
    })
  }

  /** Whether `password` has this hash. Rejects with a FlowError (503) when that cannot be told now. */
  verify(hash: string, password: string): Promise<boolean> {
    if (this.#thread.waiting >= WAITING_MAX)
      return Promise.reject(unavailable(`${WAITING_MAX} checks are waiting already`))
    return this.#thread.ask({ hash, password })
  }

  /** Ends the thread; checks that wait reject. A later check starts another. */
  async close(): Promise<void> {
    await this.#thread.release(unavailable("the proxy is ending"))?.terminate()
  }
}

function unavailable(why: string): FlowError {
  return new FlowError("llmproxy", "auth-unavailable", `check a password: ${why}; try again`, { status: 503 })
}

/** The thread's side: answers every request, also one that fails. */
export function servePasswords(port: JobPort<PasswordJob>): void {
  serveJobs(port, ({ hash, password }) => matches(hash, password))
}

async function matches(hash: string, password: string): Promise<boolean> {
  if (password === "") return false // Which the package throws at.
  const { argon2Verify, bcryptVerify } = await import("hash-wasm")
  if (hash.startsWith("$argon2")) return argon2Verify({ password, hash })
  return bcryptVerify({ password: Buffer.from(password).subarray(0, BCRYPT_BYTES_MAX), hash })
}

if (!isMainThread && workerData === THREAD_MARK && parentPort !== null) servePasswords(parentPort)
