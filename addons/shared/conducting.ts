/**
 * Whether the conductor is loaded, for addons that route as well: it says so when it is, and again to whoever asks, because nobody
 * knows which of two addons is loaded first.
 */
import type { Events } from "llmproxy"

const LOADED = "conductor.loaded"
const ASKED = "conductor.asked"

/** The conductor's part, in its `load`. */
export async function sayConducting(events: Events): Promise<void> {
  await events.subscribe(ASKED, () => events.publish(LOADED, true))
  await events.publish(LOADED, true)
}

/** The other's: `heard` is called when it is there. */
export async function hearConducting(events: Events, heard: () => void): Promise<void> {
  await events.subscribe(LOADED, heard)
  await events.publish(ASKED, true)
}
