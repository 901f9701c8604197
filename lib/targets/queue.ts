/**
 * One queue per host: many work on one request at a time, and a second one would interrupt or slow the first. First come,
 * first served; who leaves makes room, wherever they stand.
 * The lines live in an addon's state, so that a new version of it does not serve a host that its old version uses.
 */

/** A place in a line. */
export interface Place {
  /** Resolves when it is this place's turn. */
  readonly granted: Promise<void>
  /** Whether it has its turn, now. */
  readonly isGranted: boolean
  /** Gives the place up, or the turn. Any number of times. */
  leave(): void
}

interface Line {
  serving: number
  /** What lets the next ones in, first come first. */
  readonly waiting: (() => void)[]
}

/** Lines by host; a host whose line is empty has none. */
export type Lines = Map<string, Line>

const STATE_KEY = "queues"

/** The lines that `state` holds, by host. */
export function linesIn(state: Map<string, unknown>): Lines {
  const known = state.get(STATE_KEY)
  if (known instanceof Map) return known
  const lines: Lines = new Map()
  state.set(STATE_KEY, lines)
  return lines
}

/** How many are served in `host`'s line, and how many wait. */
export function lengthOf(lines: Lines, host: string): { readonly serving: number; readonly waiting: number } {
  const line = lines.get(host)
  return { serving: line?.serving ?? 0, waiting: line?.waiting.length ?? 0 }
}

/** Stands in line for `host`. `limit` is read each time somebody may go in. */
export function join(lines: Lines, host: string, limit: () => number): Place {
  const line = lines.get(host) ?? { serving: 0, waiting: [] }
  lines.set(host, line)
  let state: "waiting" | "serving" | "left" = "waiting"
  let grant: () => void = () => {}
  const granted = new Promise<void>((resolve) => {
    grant = resolve
  })
  const enter = () => {
    state = "serving"
    line.serving += 1
    grant()
  }
  line.waiting.push(enter)
  const admit = () => {
    while (line.serving < limit()) {
      const next = line.waiting.shift()
      if (next === undefined) break
      next()
    }
    if (line.serving === 0 && line.waiting.length === 0) lines.delete(host)
  }
  admit()
  return {
    granted,
    get isGranted() {
      return state === "serving"
    },
    leave() {
      if (state === "left") return
      if (state === "serving") line.serving -= 1
      else line.waiting.splice(line.waiting.indexOf(enter), 1)
      state = "left"
      admit()
    },
  }
}
