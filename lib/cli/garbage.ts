/**
 * How V8 collects the garbage of a process that proxies: what a flow needs dies with it, and few flows live at a time.
 *
 * The helper threads of a scavenge cost more than they save: an intercepted request took 1.44 times a relay's CPU with
 * them and 1.36 without (medians of alternating runs, test/bench). The longest stop of the event loop stayed as it was.
 *
 * And V8 guesses from what lived long once (a flow that an addon kept, a scavenge in the middle of many) that what is
 * made in the same place will live long again, and makes it among old objects. There it is not collected for long, nor
 * is what it holds, a whole flow: a request with one observing addon took 55 to 60 us of CPU in the runs where V8
 * guessed so, and 41 in the others.
 */
import { setFlagsFromString } from "node:v8"

/**
 * Collects the young generation on the main thread alone, and takes nothing new for old. For the process that is the
 * program; not for a library.
 */
export function collectShortLived(): void {
  setFlagsFromString("--no-parallel-scavenge")
  setFlagsFromString("--no-allocation-site-pretenuring")
}
