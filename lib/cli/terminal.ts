/**
 * The terminal output: an addon of the program's own that listens to what its detail level needs and to nothing more.
 * How a flow looks is flow-line.ts and flow-text.ts; whose turn it is to print, turns.ts.
 */
import type { AddonDefinition } from "../addon.ts"
import type { Flow } from "../flow.ts"
import type { Hooks } from "../hooks.ts"
import { flowLine } from "./flow-line.ts"
import type { Paint } from "./paint.ts"
import { Summary } from "./summary.ts"
import type { Output } from "./world.ts"

export interface TerminalOptions {
  readonly out: Output
  readonly paint: Paint
  /** 0..4, as --flow-detail. */
  readonly detail: number
}

export interface Terminal {
  /** Undefined at detail 0: there is nothing to listen to. */
  readonly addon: AddonDefinition | undefined
  /** What became of all flows. */
  readonly summary: Summary
}

export function makeTerminal({ out, paint, detail }: TerminalOptions): Terminal {
  const summary = new Summary()
  if (detail === 0) return { addon: undefined, summary }
  const ended = (flow: Flow) => {
    if (flow.parent === undefined) summary.add(flow)
    else if (detail < 2) return
    out.write(flowLine(flow, { paint, columns: out.columns }))
  }
  const hooks: Partial<Hooks> = {
    // Listening is what makes the core read requests and answers; what it has read then stands in the flow.
    llmRequest() {},
    llmResponse() {},
    llmError() {},
    response: ended,
    error: ended,
  }
  return { addon: { name: "terminal", ...hooks }, summary }
}
