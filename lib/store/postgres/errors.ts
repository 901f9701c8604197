/**
 * What PostgreSQL and the way to it throw, by what it means for whoever asked: https://www.postgresql.org/docs/current/errcodes-appendix.html
 * Pure.
 */
import { systemCodeOf } from "../../base/errors.ts"

/** Another transaction was in the way: this one was taken back, and may succeed the next time. */
const CONFLICTS: ReadonlySet<string> = new Set(["40001", "40P01", "55P03"])
/** The server takes nobody now: too many connections, starting, out of memory or disk. Nothing was done. */
const REFUSALS: ReadonlySet<string> = new Set(["53000", "53100", "53200", "53300", "57P03"])
/** The way there is gone, or the server has ended this connection: of what was asked nobody knows whether it was done. */
const LOST: ReadonlySet<string> = new Set(["57P01", "57P02", "08000", "08003", "08006", "08007"])
/** Nobody answers: nothing was asked. */
const UNREACHED: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOENT", "EHOSTUNREACH", "ENETUNREACH", "EAI_AGAIN"])
const LOST_SYSTEM: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE", "ETIMEDOUT"])
/** The driver has no code for these. */
const LOST_MESSAGE = /^(?:Connection terminated|Client has encountered a connection error|Query read timeout)/
const UNREACHED_MESSAGE = /^(?:timeout exceeded when trying to connect|timeout expired)/

/** passing: was not done, and may be the next time; unknown: may have been done; undefined: neither. */
export function postgresTrouble(thrown: unknown): "passing" | "unknown" | undefined {
  const code = codeOf(thrown) ?? ""
  if (CONFLICTS.has(code) || REFUSALS.has(code) || UNREACHED.has(code)) return "passing"
  if (LOST.has(code) || LOST_SYSTEM.has(code)) return "unknown"
  const message = thrown instanceof Error ? thrown.message : ""
  if (UNREACHED_MESSAGE.test(message)) return "passing"
  return LOST_MESSAGE.test(message) ? "unknown" : undefined
}

/** PostgreSQL's SQLSTATE, or the system's word. Of several addresses that were tried, the last one's. */
function codeOf(thrown: unknown): string | undefined {
  if (thrown instanceof AggregateError) return codeOf(thrown.errors.at(-1))
  return systemCodeOf(thrown)
}

/** What went wrong, in one line: of an AggregateError, which says nothing, what its last one says. */
export function postgresMessage(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.message === "") return postgresMessage(thrown.errors.at(-1))
  return thrown instanceof Error ? thrown.message : String(thrown)
}
