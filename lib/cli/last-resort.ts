/**
 * What nobody has caught: a rejected promise that an addon does not await, an exception in one of its timers. Node would
 * end the process, and with it everybody's traffic; here it is an error in the log, with its stack, and the traffic goes
 * on. Our own code is not written to lean on this.
 */
import type { EventEmitter } from "node:events"
import { messageOf } from "../base/errors.ts"
import type { Logger } from "../base/log.ts"

/** Listens until the returned function is called. `program`: who tells of it. */
export function catchTheRest(log: Pick<Logger, "error">, program: EventEmitter = process): () => void {
  return hearTheRest(
    (reason) => log.error(`nobody awaits this promise, and it failed: ${stackOf(reason)}`),
    (error) => log.error(`nobody catches this exception: ${stackOf(error)}`),
    program,
  )
}

/** The same for who does something else with it; default: the same with both. */
export function hearTheRest(
  onRejection: (reason: unknown) => void,
  onException = onRejection,
  program: EventEmitter = process,
): () => void {
  program.on("unhandledRejection", onRejection).on("uncaughtException", onException)
  return () => {
    program.off("unhandledRejection", onRejection).off("uncaughtException", onException)
  }
}

/** Never throws, whatever was thrown: nobody would catch that, either. */
function stackOf(thrown: unknown): string {
  try {
    if (thrown instanceof Error && typeof thrown.stack === "string") return thrown.stack
  } catch {
    // A proxy, or an error whose stack throws when it is read: what messageOf says of it is all there is.
  }
  return messageOf(thrown)
}
