/** Medians, ratios and the table that a run prints. */
export interface Row {
  readonly work: string
  readonly unit: string
  /** Peer to measured value; undefined: the machine has it not. */
  readonly values: Readonly<Record<string, number | undefined>>
  /** What each round gave, in their order, of which a value is the median. */
  readonly rounds?: Rounds
  /** What was to be reached, in words, with the ratio that was. */
  readonly goals: readonly Goal[]
  readonly errors: number
}

export type Rounds = Readonly<Record<string, readonly number[]>>

/** A figure that moves by more than this share of its median between rounds says little. */
const STEADY = 0.15

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

/** The median of each peer's rounds. */
export function mediansOf(rounds: Rounds): Record<string, number> {
  return Object.fromEntries(Object.entries(rounds).map(([peer, all]) => [peer, median(all)]))
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
    ...roundLines(row.rounds ?? {}),
    ...[...goals, ...errors].map((line) => `  ${line}`),
  ].join("\n")
}

/** Each round, and by how much a figure moved where that is too much. */
function roundLines(rounds: Rounds): string[] {
  const told = Object.entries(rounds).filter(([, all]) => all.length > 1)
  if (told.length === 0) return []
  const each = told.map(([peer, all]) => `${peer} ${all.map(shown).join(" ")}`)
  const unsteady = told.flatMap(([peer, all]) => {
    const moved = (Math.max(...all) - Math.min(...all)) / median(all)
    return moved > STEADY ? [`  UNSTEADY ${peer} moved by ${Math.round(moved * 100)} % between rounds`] : []
  })
  return [`  rounds   ${each.join("   ")}`, ...unsteady]
}

function shown(value: number): string {
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
