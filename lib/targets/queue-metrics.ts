/** Who waits in an addon's lines, and for how long, as metrics: NAME_queue_waiting and NAME_queue_seconds, by target. */
import type { AddonContext } from "../api/addon.ts"
import type { Gauge, Histogram } from "../api/metrics.ts"

export class QueueMetrics {
  readonly #clock: AddonContext["clock"]
  readonly #waiting: Gauge<"target">
  readonly #seconds: Histogram<"target">

  /** To be made in `setup`. `name`: the addon's, in letters, digits and underscores. */
  constructor({ metrics, clock }: Pick<AddonContext, "metrics" | "clock">, name: string) {
    this.#clock = clock
    const labels = ["target"] as const
    const waiting = "Requests that wait for their turn at a target now."
    this.#waiting = metrics.gauge({ name: `${name}_queue_waiting`, help: waiting, labels })
    const seconds = "How long those that had to wait for a target did, until their turn or until they left."
    this.#seconds = metrics.histogram({ name: `${name}_queue_seconds`, help: seconds, labels })
  }

  /** One begins to wait for it. What is returned is to be called once, when that is over. */
  begin(target: string): () => void {
    const since = this.#clock.monotonic()
    this.#waiting.add(1, { target })
    return () => {
      this.#waiting.add(-1, { target })
      this.#seconds.observe((this.#clock.monotonic() - since) / 1_000, { target })
    }
  }
}
