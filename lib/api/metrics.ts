/**
 * Metrics: what addons count and measure, in Prometheus' words (https://prometheus.io/docs/concepts/metric_types/).
 * Interfaces; lib/services/metric-registry.ts keeps the values.
 */

/** The values of a metric's labels, one for each that was declared. At most 200 characters of each are kept. */
export type Labels<L extends string> = Readonly<Record<L, string>>

/** A metric without labels takes none. */
type LabelArguments<L extends string> = [L] extends [never] ? [] : [labels: Labels<L>]

export interface MetricSpec<L extends string> {
  /**
   * Letters, digits and underscores, no digit first; a counter's ends in "_total", and a unit is a base one and stands in
   * it, as in "budget_spent_seconds_total". One addon has a name once, and no other addon has it.
   */
  readonly name: string
  /** One sentence for whoever reads the metric. */
  readonly help: string
  /**
   * Names of its labels; not "le", and none that begins with two underscores. Values that come from clients are fine: beyond
   * 1,000 sets of values what comes is counted under "other", which is said once.
   */
  readonly labels?: readonly L[]
}

export interface HistogramSpec<L extends string> extends MetricSpec<L> {
  /** Upper bounds, rising. Default: for seconds, 0.005 to 60. */
  readonly buckets?: readonly number[]
}

export interface Counter<L extends string = never> {
  /** `by`: 0 or more. Throws a RangeError for another number. */
  add(by: number, ...labels: LabelArguments<L>): void
}

export interface Gauge<L extends string = never> {
  set(value: number, ...labels: LabelArguments<L>): void
  add(by: number, ...labels: LabelArguments<L>): void
}

export interface Histogram<L extends string = never> {
  observe(value: number, ...labels: LabelArguments<L>): void
}

/**
 * Declared in `setup`, which fails with an Error that names the metric if its declaration is wrong. Values outlast reloads
 * of the addon, as long as the declaration is the same, and go with the addon.
 */
export interface Metrics {
  counter<const L extends string = never>(spec: MetricSpec<L>): Counter<L>
  gauge<const L extends string = never>(spec: MetricSpec<L>): Gauge<L>
  histogram<const L extends string = never>(spec: HistogramSpec<L>): Histogram<L>
  /** What all addons and the program itself have counted by now, in the order of their names: for who shows it. */
  all(): readonly MetricSnapshot[]
}

/** A metric as it is now. */
export interface MetricSnapshot {
  readonly name: string
  readonly kind: "counter" | "gauge" | "histogram"
  readonly help: string
  /** In the order of their first value. */
  readonly series: readonly MetricSeries[]
}

export interface MetricSeries {
  readonly labels: Readonly<Record<string, string>>
  /** Of a histogram: the sum of what was observed. */
  readonly value: number
  /** Of a histogram: how many were at most `le`, by rising `le`; the last is Infinity's, which is all. */
  readonly buckets?: readonly { readonly le: number; readonly count: number }[]
}
