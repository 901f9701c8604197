/**
 * Events: what addons tell each other. Interfaces; lib/services/event-bus.ts brings them to whoever listens.
 */
import type { JsonValue } from "../base/json.ts"

/** Between addons of one process now. Whatever carries them later, the two calls stay as they are. */
export interface Events {
  /**
   * Tells all that have subscribed to `name`, the addon's own subscriptions too. `name` is letters, digits, dots, hyphens
   * and underscores, best with the addon's name first, as in "budget.spent"; `value` is at most 7,000 bytes of JSON, since
   * PostgreSQL carries 8,000. Resolves when it is on its way, not when it was heard. Rejects with a TypeError or RangeError.
   */
  publish(name: string, value: JsonValue): Promise<void>
  /**
   * Calls `listener` with each value that is published from then on, each its own copy, in their order; one that is
   * asynchronous is not waited for. What a listener throws is logged and hurts nobody. Resolves, once it listens, to what
   * ends that; the end of this version of the addon does, too.
   */
  subscribe(name: string, listener: (value: JsonValue) => void | Promise<void>): Promise<() => Promise<void>>
}
