/**
 * Signals on which as many wait as there are: the subscriptions of an addon's version, the sends of a flow. Node takes more
 * than ten listeners of one signal for a leak, and says so on stderr. Ours leave with what they were for; of an addon's own on
 * them nobody is warned any more.
 */
import { setMaxListeners } from "node:events"

export function abortOfMany(): AbortController {
  const abort = new AbortController()
  expectMany(abort.signal)
  return abort
}

/** The signal itself, which somebody else may have made. */
export function expectMany(signal: AbortSignal): AbortSignal {
  setMaxListeners(0, signal)
  return signal
}
