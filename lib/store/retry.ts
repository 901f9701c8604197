/** How long what passes is waited for before it is tried again. */

/** Milliseconds before the second try; doubled for each further one. */
const DELAY_MS_MIN = 100
const DELAY_MS_MAX = 5_000

/** Milliseconds to wait after so many tries that failed. */
export function retryDelay(tries: number): number {
  return Math.min(DELAY_MS_MAX, DELAY_MS_MIN * 2 ** (tries - 1))
}
