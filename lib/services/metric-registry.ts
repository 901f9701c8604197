/**
 * The values of addons' metrics, one registry a process, read as a whole by `snapshot()`. Bounded: what clients say may
 * become a label's value, and a client can say anything. Who shows them to whom is not decided here.
 */
import type { HistogramSpec, MetricSeries, MetricSnapshot, MetricSpec, Metrics } from "../api/metrics.ts"
import type { Logger } from "../base/log.ts"
import { type OwnNumbers, ownMetrics } from "./own-metrics.ts"

/** Sets of label values that one metric has, before the one for all others. */
const SERIES_MAX = 1_000
const LABEL_CHARS_MAX = 200
const OTHER = "other"
/** Seconds: from a cache's answer to a long stream. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

type MetricKind = MetricSnapshot["kind"]
type Series = MetricSeries

export class MetricRegistry {
  #own: () => readonly MetricSnapshot[] = () => []
  readonly #held = new Map<
    string,
    { readonly owner: string; readonly metric: Metric; readonly users: Set<AbortSignal> }
  >()

  /** The metrics as one version of the addon `owner` declares them; `signal` is its end. */
  metricsFor(owner: string, signal: AbortSignal, log: Logger): Metrics {
    const declare = (kind: MetricKind, spec: HistogramSpec<string>) => this.#declare(owner, kind, spec, signal, log)
    return {
      counter: (spec) => {
        const metric = declare("counter", spec)
        return { add: (by, ...labels) => metric.add(atLeastZero(by, spec), labels[0]) }
      },
      gauge: (spec) => {
        const metric = declare("gauge", spec)
        return {
          add: (by, ...labels) => metric.add(by, labels[0]),
          set: (value, ...labels) => metric.set(value, labels[0]),
        }
      },
      histogram: (spec) => {
        const metric = declare("histogram", spec)
        return { observe: (value, ...labels) => metric.observe(value, labels[0]) }
      },
      all: () => this.snapshot(),
    }
  }

  /** The program's own numbers, asked whenever somebody looks. */
  own(read: () => OwnNumbers | undefined): void {
    this.#own = () => ownMetrics(read())
  }

  /** In the order of their names. */
  snapshot(): MetricSnapshot[] {
    const metrics = [...this.#held.values()].map(({ metric }) => metric.snapshot()).concat(this.#own())
    return metrics.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  #declare(owner: string, kind: MetricKind, spec: HistogramSpec<string>, signal: AbortSignal, log: Logger): Metric {
    check(kind, spec)
    const { name } = spec
    const before = this.#held.get(name)
    if (before !== undefined && before.owner !== owner)
      throw new Error(`metric "${name}": addon "${before.owner}" has one of that name; give it another`)
    const made = new Metric(kind, spec, log)
    const held = before?.metric.shape === made.shape ? before : { owner, metric: made, users: new Set<AbortSignal>() }
    if (before === held && held.users.has(signal)) throw new Error(`metric "${name}": is declared twice`)
    this.#held.set(name, held)
    held.users.add(signal)
    const forget = () => {
      held.users.delete(signal)
      if (held.users.size > 0 || this.#held.get(name) !== held) return
      // A new version that failed to load leaves what it would have replaced.
      if (before !== undefined && before.users.size > 0) this.#held.set(name, before)
      else this.#held.delete(name)
    }
    if (signal.aborted) forget()
    else signal.addEventListener("abort", forget, { once: true })
    return held.metric
  }
}

/** What one set of label values has come to. */
interface Cell {
  readonly labels: Readonly<Record<string, string>>
  value: number
  /** Of a histogram: how many fell into each bucket, the last without a bound. */
  readonly counts: number[]
}

class Metric {
  /** The same for the same declaration. */
  readonly shape: string
  readonly #kind: MetricKind
  readonly #spec: MetricSpec<string>
  readonly #labels: readonly string[]
  readonly #bounds: readonly number[]
  readonly #log: Logger
  readonly #cells = new Map<string, Cell>()
  /** Most often the next one has the same labels. */
  #latest: Cell | undefined
  #isFull = false

  constructor(kind: MetricKind, spec: HistogramSpec<string>, log: Logger) {
    this.#kind = kind
    this.#spec = spec
    this.#labels = spec.labels ?? []
    this.#bounds = kind === "histogram" ? (spec.buckets ?? BUCKETS) : []
    this.#log = log
    this.shape = JSON.stringify([kind, spec.help, this.#labels, this.#bounds])
  }

  add(by: number, labels: Readonly<Record<string, string>> | undefined): void {
    this.#cell(labels).value += this.#finite(by)
  }

  set(value: number, labels: Readonly<Record<string, string>> | undefined): void {
    this.#cell(labels).value = this.#finite(value)
  }

  observe(value: number, labels: Readonly<Record<string, string>> | undefined): void {
    const cell = this.#cell(labels)
    cell.value += this.#finite(value)
    const at = this.#bounds.findIndex((bound) => value <= bound)
    const index = at < 0 ? this.#bounds.length : at
    cell.counts[index] = (cell.counts[index] ?? 0) + 1
  }

  snapshot(): MetricSnapshot {
    const { name, help } = this.#spec
    const series = [...this.#cells.values()].map((cell) => this.#series(cell))
    return { name, kind: this.#kind, help, series }
  }

  #series({ labels, value, counts }: Cell): Series {
    if (this.#kind !== "histogram") return { labels, value }
    let count = 0
    const buckets = [...this.#bounds, Number.POSITIVE_INFINITY].map((le, index) => {
      count += counts[index] ?? 0
      return { le, count }
    })
    return { labels, value, buckets }
  }

  #cell(given: Readonly<Record<string, string>> | undefined): Cell {
    const latest = this.#latest
    if (latest !== undefined && this.#labels.every((label) => latest.labels[label] === given?.[label])) return latest
    this.#latest = this.#found(given)
    return this.#latest
  }

  #found(given: Readonly<Record<string, string>> | undefined): Cell {
    const values = this.#labels.map((label) => this.#valueOf(label, given))
    const key = values.join("\0")
    const known = this.#cells.get(key)
    if (known !== undefined) return known
    if (this.#cells.size < SERIES_MAX || this.#labels.length === 0) return this.#made(key, values)
    if (!this.#isFull)
      this.#log.warn(`metric "${this.#spec.name}": has ${SERIES_MAX} sets of labels; what else comes is "${OTHER}"`)
    this.#isFull = true
    const others = this.#labels.map(() => OTHER)
    const other = others.join("\0")
    return this.#cells.get(other) ?? this.#made(other, others)
  }

  #made(key: string, values: readonly string[]): Cell {
    const labels = Object.fromEntries(this.#labels.map((label, index) => [label, values[index] ?? ""]))
    const cell: Cell = { labels, value: 0, counts: [] }
    this.#cells.set(key, cell)
    return cell
  }

  #valueOf(label: string, given: Readonly<Record<string, string>> | undefined): string {
    const value: unknown = given?.[label]
    if (typeof value === "string") return value.slice(0, LABEL_CHARS_MAX).replaceAll("\0", "")
    throw new TypeError(`metric "${this.#spec.name}": the label "${label}" has no text`)
  }

  #finite(value: number): number {
    if (Number.isFinite(value)) return value
    throw new RangeError(`metric "${this.#spec.name}": ${value} is no value`)
  }
}

function atLeastZero(by: number, { name }: MetricSpec<string>): number {
  if (by >= 0) return by
  throw new RangeError(`metric "${name}": a counter cannot count by ${by}`)
}

/** Prometheus' rules: https://prometheus.io/docs/concepts/data_model/ */
function check(kind: MetricKind, { name, help, labels = [], buckets = [] }: HistogramSpec<string>): void {
  const told = (text: string) => new TypeError(`metric "${name}": ${text}`)
  if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) throw told("a name is letters, digits and underscores, no digit first")
  if (kind === "counter" && !name.endsWith("_total")) throw told('a counter\'s name ends in "_total"')
  if (kind === "histogram" && /_(bucket|sum|count)$/.test(name))
    throw told("_bucket, _sum and _count are put behind it")
  if (typeof help !== "string" || help === "") throw told("help must be a sentence")
  if (new Set(labels).size !== labels.length) throw told("a label is named twice")
  for (const label of labels)
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(label) || label.startsWith("__") || label === "le")
      throw told(
        `"${label}" is no name of a label: letters, digits and underscores, not "le", no two underscores first`,
      )
  const isRising = buckets.every((bound, index) => Number.isFinite(bound) && bound > (buckets[index - 1] ?? -Infinity))
  if (!isRising) throw told("buckets must be rising numbers")
}
