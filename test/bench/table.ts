/** Medians, ratios and the table that a run prints. */
export interface Row {
  readonly work: string
  readonly unit: string
  /** Peer to measured value; undefined: the machine has it not. */
  readonly values: Readonly<Record<string, number | undefined>>
  /** What was to be reached, in words, with the ratio that was. */
  readonly goals: readonly Goal[]
  readonly errors: number
}

interface Goal {
  readonly text: string
  readonly ratio: number | undefined
  /** Undefined: the design sets none; the ratio is told. */
  readonly limit: number | undefined
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const high = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : (high + (sorted[middle - 1] ?? high)) / 2
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** A ratio, where both sides were measured. */
export function ratio(value: number | undefined, base: number | undefined): number | undefined {
  return value === undefined || base === undefined || base === 0 ? undefined : value / base
}

export function printRow(row: Row): string {
  const values = Object.entries(row.values)
    .filter(([, value]) => value !== undefined)
    .map(([peer, value]) => `${peer} ${shown(value ?? 0)}`)
  const goals = row.goals.map(({ text, ratio: reached, limit }) => {
    if (reached === undefined) return `${text}: not measured here`
    if (limit === undefined) return `${text}: ${reached.toFixed(2)}`
    return `${reached <= limit ? "met " : "MISSED "} ${text}: ${reached.toFixed(2)} (goal: at most ${limit})`
  })
  const errors = row.errors > 0 ? [`${row.errors} ERRORS`] : []
  return [
    `${row.work} [${row.unit}]`,
    `  ${values.join("   ")}`,
    ...[...goals, ...errors].map((line) => `  ${line}`),
  ].join("\n")
}

function shown(value: number): string {
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
