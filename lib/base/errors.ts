/**
 * The errors of the program, by whose they are. A FlowError ends one flow and becomes an answer or a cut;
 * a UsageError and a StartError end the program with one line (exit status 2 and 1) and no stack.
 */
import { replacedModule } from "./own-code.ts"

/** Who is at fault: the client's bytes, the upstream, an addon, or a limit of ours. */
export type ErrorSource = "client" | "upstream" | "addon" | "llmproxy"

export interface FlowErrorOptions {
  /** HTTP status that the client gets where an answer can still be sent. Default: 400 for client, 502 otherwise. */
  status?: number
  cause?: unknown
  /** What its client reads of it, where `message` is for the log and the record alone. Default: `message`. */
  told?: string
}

/** Ends one flow. `code` is short, stable and machine-readable, as in "connection-refused". */
export class FlowError extends Error {
  readonly source: ErrorSource
  readonly code: string
  readonly status: number
  readonly told: string

  constructor(source: ErrorSource, code: string, message: string, options: FlowErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = "FlowError"
    this.source = source
    this.code = code
    this.status = options.status ?? (source === "client" ? 400 : 502)
    this.told = options.told ?? message
  }
}

/** What addons keep could not be read or written. Who asks may try again. */
export class StoreError extends Error {}

/** Of a FlowError whose reason is a StoreError. */
const STORE_LOST = "store-unavailable"
const STORE_LOST_TOLD = "what is kept here cannot be reached now; try again in a few seconds"
/** Seconds after which a client may try again where nobody knows better. */
const RETRY_SECONDS = 5

/** The fields of an answer that says so: when to try again (RFC 9110 section 10.2.3). */
export function retryFields(status: number): [string, string][] {
  return status === 503 ? [["Retry-After", String(RETRY_SECONDS)]] : []
}

/**
 * Why a flow or a route ends whose addon has thrown. What was thrown may name files and sockets of this machine: its client reads
 * `told` alone, and where what is kept cannot be reached, that (503).
 */
export function addonFailure(code: string, message: string, told: string, thrown: unknown, status = 500): FlowError {
  if (!isStoreError(thrown)) return new FlowError("addon", code, message, { status, cause: thrown, told })
  return new FlowError("addon", STORE_LOST, message, { status: 503, cause: thrown, told: STORE_LOST_TOLD })
}

/** It, or what it was thrown for. */
function isStoreError(thrown: unknown): boolean {
  let error = thrown
  for (let i = 0; i <= CAUSES_MAX && error !== undefined; i++) {
    if (error instanceof StoreError) return true
    error = causeOf(error)
  }
  return false
}

/** The user asked for something that cannot be: a bad flag, a mistyped hook. Exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError"
}

/** The request was right, the world was not: a port in use, a folder that cannot be written. Exit status 1. */
export class StartError extends Error {
  override readonly name = "StartError"
}

/** An addon may throw a whole answer; what is said of it is for people. */
const MESSAGE_CHARS_MAX = 4_096

/** The message of anything that was thrown, for one line of a log. */
export function messageOf(thrown: unknown): string {
  try {
    const said = thrown instanceof Error ? String(thrown.message) : String(thrown)
    const text = replacedModule(said) ?? said
    return text.length > MESSAGE_CHARS_MAX ? `${text.slice(0, MESSAGE_CHARS_MAX)}...` : text
  } catch {
    return "something that cannot be written" // A proxy, or an object whose own ways of being written throw.
  }
}

/** Errors behind an error that are told with it. */
const CAUSES_MAX = 3

/** The message with those of what caused it, as far as it does not say them itself: "fetch failed" says nothing. */
export function fullMessageOf(thrown: unknown): string {
  let text = messageOf(thrown)
  let cause = causeOf(thrown)
  for (let i = 0; i < CAUSES_MAX && cause !== undefined; i++) {
    const further = messageOf(cause) || systemCodeOf(cause) || ""
    if (!text.includes(further)) text += `: ${further}`
    cause = causeOf(cause)
  }
  return text
}

function causeOf(thrown: unknown): unknown {
  try {
    if (!(thrown instanceof Error)) return undefined
    // Several attempts that failed: the first stands for all.
    return thrown.cause ?? (thrown instanceof AggregateError ? thrown.errors[0] : undefined)
  } catch {
    return undefined // A proxy whose getters throw.
  }
}

/** Whether an addon's error is one of ours; whatever was thrown may throw when it is looked at. */
export function isFlowError(thrown: unknown): thrown is FlowError {
  try {
    return thrown instanceof FlowError
  } catch {
    return false
  }
}

/** What was thrown, if it is a FlowError already; else one that says that we have failed, with `status`. */
export function flowErrorOf(thrown: unknown, status = 502): FlowError {
  if (thrown instanceof FlowError) return thrown
  return internalError(messageOf(thrown), thrown, status)
}

/** We have failed. Of the reason its client reads nothing. */
export function internalError(message: string, cause: unknown, status = 502): FlowError {
  const told = "llmproxy failed; its log has the reason"
  return new FlowError("llmproxy", "internal", message, { status, cause, told })
}

/** The system's code (ECONNREFUSED, ...) of anything that was thrown, if it has one. */
export function systemCodeOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown)) return undefined
  return typeof thrown.code === "string" ? thrown.code : undefined
}

/** Why a file that a person has named could not be read, in words of ours where the system's code is a usual one. */
export function whyUnread(thrown: unknown): string {
  switch (systemCodeOf(thrown)) {
    case "ENOENT":
      return "there is no such file"
    case "EISDIR":
      return "it is a folder"
    case "EACCES":
    case "EPERM":
      return "this user may not read it"
    default:
      return messageOf(thrown)
  }
}
