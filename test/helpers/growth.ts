/**
 * Whether work grows faster than its size. One step alone proves nothing, least of all on a machine that does other things
 * meanwhile: two steep ones in a row do, each of the least CPU time of several runs.
 */

/** The most that four times the work may cost: linear is 4, quadratic 16. */
const GROWTH_MAX = 8
const RUNS = 5
/** CPU time after which a work is not run again, microseconds. */
const RUNS_MICROS = 2_000_000
/** Less CPU time than this, microseconds, is the clock's and the collector's noise. */
const NOISE_MICROS = 15_000

/** Undefined, or what `size`, four times and sixteen times of it cost where both steps were too steep. */
export function steepGrowth(size: number, prepare: (size: number) => () => void): string | undefined {
  const costs = [least(prepare(size))]
  for (const times of [4, 16]) {
    const before = Math.max(NOISE_MICROS, costs.at(-1) ?? 0)
    const cost = least(prepare(size * times), before * GROWTH_MAX)
    costs.push(cost)
    if (cost <= before * GROWTH_MAX) return undefined
  }
  return `${size}, 4 and 16 times of it take ${costs.join(", ")} us`
}

/** The least of several runs; one that is `enough` is not run again. */
function least(work: () => void, enough = NOISE_MICROS): number {
  let micros = Number.POSITIVE_INFINITY
  let together = 0
  for (let run = 0; run < RUNS && micros > enough && together < RUNS_MICROS; run++) {
    const before = process.cpuUsage()
    work()
    const one = process.cpuUsage(before).user
    micros = Math.min(micros, one)
    together += one
  }
  return micros
}
