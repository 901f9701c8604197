/** Metrics in Prometheus' text format, version 0.0.4. Pure. */
import type { MetricSnapshot } from "llmproxy"

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

export function exposition(metrics: readonly MetricSnapshot[]): string {
  return metrics.map(metricText).join("")
}

function metricText({ name, kind, help, series }: MetricSnapshot): string {
  const lines = [`# HELP ${name} ${escapedHelp(help)}`, `# TYPE ${name} ${kind}`]
  for (const { labels, value, buckets } of series) {
    if (buckets === undefined) {
      lines.push(`${name}${labelsText(labels)} ${numberText(value)}`)
      continue
    }
    for (const { le, count } of buckets)
      lines.push(`${name}_bucket${labelsText({ ...labels, le: numberText(le) })} ${count}`)
    lines.push(`${name}_sum${labelsText(labels)} ${numberText(value)}`)
    lines.push(`${name}_count${labelsText(labels)} ${buckets.at(-1)?.count ?? 0}`)
  }
  return `${lines.join("\n")}\n`
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapedValue(value)}"`)
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf"
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value)
}

function escapedHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")
}

function escapedValue(text: string): string {
  return escapedHelp(text).replaceAll('"', '\\"')
}
