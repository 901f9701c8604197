/**
 * Signals on which as many wait as there are: the subscriptions of an addon's version, the sends of a flow. Node takes more
 * than ten listeners of one signal for a leak, and says so on stderr. Ours leave with what they were for; of an addon's own on
 * them nobody is warned any more.
 */
import { setMaxListeners } from "node:events"

export function abortOfMany(): AbortController {
  const abort = new AbortController()
  setMaxListeners(0, abort.signal)
  return abort
}

/** For a signal that somebody else has made. */
export function expectMany(signal: AbortSignal): void {
  setMaxListeners(0, signal)
}
