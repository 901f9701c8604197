/**
 * Deletes old flows at a person's word. A second writer beside a running proxy is safe: each step is one transaction,
 * SQLite lets one writer in at a time, and both wait for their turn. Steps are small and apart, so that the proxy's turn
 * comes soon.
 */
import { setTimeout } from "node:timers/promises"
import { messageOf, StartError } from "../base/errors.ts"
import { isDamage, readFailure } from "./database.ts"
import { openHistory } from "./history-place.ts"
import { isPostgresUrl } from "./places.ts"
import { Writer } from "./writer.ts"

/** Milliseconds between two steps, in which a proxy gets its turn. */
const PAUSE_MS = 5

export interface Pruned {
  readonly flows: number
  /** By which what is in use has shrunk; undefined: unknown. */
  readonly bytes: number | undefined
}

/** Deletes the flows that began before `before`. Throws a StartError when the file is damaged. */
export async function pruneFile(file: string, before: number): Promise<Pruned> {
  let flows = 0
  try {
    const writer = new Writer(await openHistory(file))
    try {
      const bytes = await writer.bytes()
      for (;;) {
        const { touched, deleted } = await writer.prune(before)
        flows += deleted
        if (touched === 0) break
        await setTimeout(PAUSE_MS)
      }
      const after = await writer.bytes()
      while (await writer.giveBack()) await setTimeout(PAUSE_MS)
      return { flows, bytes: bytes === undefined || after === undefined ? undefined : bytes - after }
    } finally {
      await writer.close()
    }
  } catch (thrown) {
    if (!isDamage(thrown)) throw isPostgresUrl(file) ? readFailure(file, thrown) : thrown
    throw new StartError(`${file}: is no history, or is damaged (${messageOf(thrown)}); ${flows} flows were deleted`)
  }
}
