/**
 * How V8 collects the garbage of a process that proxies: short-lived objects die young and few live, so the helper
 * threads of a scavenge cost more than they save: an intercepted request took 1.44 times a relay's CPU with them and 1.36
 * without (medians of alternating runs, test/bench). The longest stop of the event loop stayed as it was.
 */
import { setFlagsFromString } from "node:v8"

/** Collects the young generation on the main thread alone. For the process that is the program; not for a library. */
export function collectAlone(): void {
  setFlagsFromString("--no-parallel-scavenge")
}
