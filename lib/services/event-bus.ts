/**
 * Brings events from who publishes to who has subscribed. `Bus` is the seam for one that reaches other processes: it
 * carries texts. What a version of an addon is given, `eventsFor`, makes JSON of them and keeps failures apart.
 */
import type { Events } from "../api/events.ts"
import { messageOf } from "../base/errors.ts"
import { type JsonValue, parseJson } from "../base/json.ts"
import type { Logger } from "../base/log.ts"

/** PostgreSQL's NOTIFY carries 8,000 bytes, the name and what a bus adds included. */
const EVENT_BYTES_MAX = 7_000
const NAME_CHARS_MAX = 200

export interface Bus {
  publish(name: string, json: string): Promise<void>
  /** `hear` never throws. Resolves to what ends it. */
  subscribe(name: string, hear: (json: string) => void): Promise<() => Promise<void>>
}

/** Within this process. */
export class LocalBus implements Bus {
  readonly #listeners = new Map<string, Set<(json: string) => void>>()

  async publish(name: string, json: string): Promise<void> {
    // Later, as from another process: nobody may count on having been heard before publish returns.
    for (const hear of this.#listeners.get(name) ?? [])
      queueMicrotask(() => {
        if (this.#listeners.get(name)?.has(hear)) hear(json)
      })
  }

  async subscribe(name: string, hear: (json: string) => void): Promise<() => Promise<void>> {
    const all = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, all.add(hear))
    return async () => {
      all.delete(hear)
      if (all.size === 0 && this.#listeners.get(name) === all) this.#listeners.delete(name)
    }
  }
}

/** The events as one version of an addon has them: they end with its signal, and its failures go to its log. */
export function eventsFor(bus: Bus, signal: AbortSignal, log: Logger): Events {
  return {
    async publish(name, value) {
      checkName(name)
      const json: string | undefined = JSON.stringify(value)
      if (json === undefined) throw new TypeError(`event "${name}": the value is no JSON`)
      const bytes = Buffer.byteLength(json)
      if (bytes > EVENT_BYTES_MAX)
        throw new RangeError(`event "${name}": ${bytes} bytes of JSON, and at most ${EVENT_BYTES_MAX} are carried`)
      await bus.publish(name, json)
    },
    async subscribe(name, listener) {
      checkName(name)
      const failed = (thrown: unknown) => log.error(`event "${name}": its listener failed: ${messageOf(thrown)}`)
      const end = await bus.subscribe(name, (json) => {
        if (!signal.aborted) void heard(listener, parseJson(json) ?? null, failed)
      })
      const ended = () => end().catch(failed)
      if (signal.aborted) await ended()
      else signal.addEventListener("abort", ended, { once: true })
      return async () => {
        signal.removeEventListener("abort", ended)
        await end()
      }
    },
  }
}

async function heard(
  listener: Parameters<Events["subscribe"]>[1],
  value: JsonValue,
  failed: (thrown: unknown) => void,
): Promise<void> {
  try {
    await listener(value)
  } catch (thrown) {
    failed(thrown)
  }
}

function checkName(name: string): void {
  if (/^[\w.-]+$/.test(name) && name.length <= NAME_CHARS_MAX) return
  throw new TypeError(
    `event "${name}": a name is at most ${NAME_CHARS_MAX} letters, digits, dots, hyphens and underscores, as in "budget.spent"`,
  )
}
