import { test } from "tap"
import { makeLogger } from "../../lib/base/log.ts"
import { MetricRegistry } from "../../lib/services/metric-registry.ts"

function registry() {
  const metrics = new MetricRegistry()
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  const version = (addon: string) => {
    const ending = new AbortController()
    return { metrics: metrics.metricsFor(addon, ending.signal, log), end: () => ending.abort() }
  }
  return { metrics, version, lines }
}

test("counters, gauges and histograms come to what was told them", (t) => {
  const { metrics, version } = registry()
  const { metrics: own } = version("a")
  const refused = own.counter({ name: "refused_total", help: "Refused.", labels: ["model", "why"] })
  refused.add(1, { model: "m", why: "budget" })
  refused.add(2, { why: "budget", model: "m" })
  refused.add(0.5, { model: "n", why: "budget" })
  const open = own.gauge({ name: "open", help: "Open." })
  open.set(5)
  open.add(-2)
  const took = own.histogram({ name: "took_seconds", help: "Took.", buckets: [1, 5] })
  for (const seconds of [0.5, 1, 3, 9]) took.observe(seconds)
  own.counter({ name: "never_total", help: "Never." })
  t.strictSame(metrics.snapshot(), [
    { name: "never_total", kind: "counter", help: "Never.", series: [] },
    { name: "open", kind: "gauge", help: "Open.", series: [{ labels: {}, value: 3 }] },
    {
      name: "refused_total",
      kind: "counter",
      help: "Refused.",
      series: [
        { labels: { model: "m", why: "budget" }, value: 3 },
        { labels: { model: "n", why: "budget" }, value: 0.5 },
      ],
    },
    {
      name: "took_seconds",
      kind: "histogram",
      help: "Took.",
      series: [
        {
          labels: {},
          value: 13.5,
          buckets: [
            { le: 1, count: 2 },
            { le: 5, count: 3 },
            { le: Number.POSITIVE_INFINITY, count: 4 },
          ],
        },
      ],
    },
  ])
  t.end()
})

test("sets of labels are bounded: what comes beyond them is counted under other, which is said once", (t) => {
  const { metrics, version, lines } = registry()
  const seen = version("a").metrics.counter({ name: "seen_total", help: "Seen.", labels: ["model"] })
  for (let i = 0; i < 1_500; i++) seen.add(1, { model: `m${i}` })
  seen.add(1, { model: "m0" })
  const [{ series } = { series: [] }] = metrics.snapshot()
  t.equal(series.length, 1_001)
  t.strictSame(series[0], { labels: { model: "m0" }, value: 2 }, "those that were there go on")
  t.strictSame(series.at(-1), { labels: { model: "other" }, value: 500 })
  t.strictSame(lines, ['warn metric "seen_total": has 1000 sets of labels; what else comes is "other"'])
  const long = version("b").metrics.gauge({ name: "long", help: "Long.", labels: ["text"] })
  long.set(1, { text: `${"x".repeat(300)}\0` })
  t.strictSame(metrics.snapshot()[0]?.series[0]?.labels, { text: "x".repeat(200) })
  t.end()
})

test("values outlast a reload, and go with the addon", (t) => {
  const { metrics, version } = registry()
  const declare = (of: ReturnType<typeof version>, help = "Seen.") => of.metrics.counter({ name: "seen_total", help })
  const values = () => metrics.snapshot().map(({ help, series }) => [help, series[0]?.value])
  const first = version("a")
  declare(first).add(2)
  const second = version("a")
  const again = declare(second)
  first.end()
  again.add(1)
  t.strictSame(values(), [["Seen.", 3]])
  const failed = version("a")
  declare(failed, "Otherwise.")
  failed.end()
  t.strictSame(values(), [["Seen.", 3]], "a version that failed to load has replaced nothing")
  const changed = version("a")
  declare(changed, "Otherwise.").add(1)
  second.end()
  t.strictSame(values(), [["Otherwise.", 1]], "another declaration begins anew")
  changed.end()
  t.strictSame(values(), [])
  const late = version("a")
  late.end()
  declare(late).add(1)
  t.strictSame(values(), [], "a version that has ended leaves nothing")
  t.end()
})

test("a wrong declaration is refused, with the metric's name", (t) => {
  const { version } = registry()
  const { metrics: own } = version("a")
  const help = "Help."
  const wrong: [() => unknown, RegExp][] = [
    [() => own.gauge({ name: "a-b", help }), /metric "a-b": a name is letters/],
    [() => own.gauge({ name: "1a", help }), /no digit first/],
    [() => own.counter({ name: "a", help }), /a counter's name ends in "_total"/],
    [() => own.histogram({ name: "a_sum", help }), /are put behind it/],
    [() => own.gauge({ name: "a", help: "" }), /help must be a sentence/],
    [() => own.gauge({ name: "a", help, labels: ["le"] }), /"le" is no name of a label/],
    [() => own.gauge({ name: "a", help, labels: ["__a"] }), /no name of a label/],
    [() => own.gauge({ name: "a", help, labels: ["b", "b"] }), /named twice/],
    [() => own.histogram({ name: "a", help, buckets: [2, 1] }), /rising/],
  ]
  for (const [declare, message] of wrong) t.throws(declare, { message })
  own.gauge({ name: "a", help })
  t.throws(() => own.gauge({ name: "a", help }), { message: 'metric "a": is declared twice' })
  t.throws(() => version("b").metrics.gauge({ name: "a", help }), {
    message: 'metric "a": addon "a" has one of that name; give it another',
  })
  t.end()
})

test("what is no value is refused", (t) => {
  const { version } = registry()
  const { metrics: own } = version("a")
  const count = own.counter({ name: "a_total", help: "A.", labels: ["model"] })
  t.throws(() => count.add(-1, { model: "m" }), { name: "RangeError", message: /cannot count by -1/ })
  t.throws(() => count.add(Number.NaN, { model: "m" }), RangeError)
  t.throws(() => count.add(1, {} as { model: string }), { message: /the label "model" has no text/ })
  t.throws(() => own.gauge({ name: "g", help: "G." }).set(Number.POSITIVE_INFINITY), {
    message: /Infinity is no value/,
  })
  t.end()
})
