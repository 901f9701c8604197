/**
 * One queue per local host: most hosts work on one request at a time, and a second one would interrupt or slow the
 * first. First come, first served; who leaves makes room, wherever they stand.
 * The lines live in the addon's state, so that a reloaded conductor does not serve a host that its old version uses.
 */

/** A place in a line. */
export interface Place {
  /** Resolves when it is this place's turn. */
  readonly granted: Promise<void>
  /** Gives the place up, or the turn. Any number of times. */
  leave(): void
}

interface Line {
  serving: number
  /** What lets the next ones in, first come first. */
  readonly waiting: (() => void)[]
}

const STATE_KEY = "queues"

/** The lines that `state` holds, by host. */
export function linesIn(state: Map<string, unknown>): Map<string, Line> {
  const known = state.get(STATE_KEY)
  if (known instanceof Map) return known
  const lines = new Map<string, Line>()
  state.set(STATE_KEY, lines)
  return lines
}

/** Stands in line for `host`. `limit` is read each time somebody may go in. */
export function join(lines: Map<string, Line>, host: string, limit: () => number): Place {
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
    if (line.serving === 0) lines.delete(host)
  }
  admit()
  return {
    granted,
    leave() {
      if (state === "left") return
      if (state === "serving") line.serving -= 1
      else line.waiting.splice(line.waiting.indexOf(enter), 1)
      state = "left"
      admit()
    },
  }
}
