/**
 * This llmproxy beside another checkout of it: whether a change made it slower. Rounds alternate, so that what else the
 * machine does falls on both.
 */
import { mediansOf, type Row, ratio } from "../table.ts"
import type { Bench, PeerName } from "../world.ts"
import { type Measured, measure, OBSERVERS } from "./requests.ts"
import { STARTS_A_ROUND, Starter } from "./starts.ts"
import { DELTA_OBSERVER, run } from "./streams.ts"

const ROUNDS = 5
/** How much slower the median may be. */
const SLOWER_MAX = 1.05
const BOTH: readonly PeerName[] = ["llmproxy beside", "llmproxy"]

export async function requestsBeside(bench: Bench): Promise<Row[]> {
  const rows: Row[] = []
  for (const [what, addons] of [["", []] as const, [", three observers", OBSERVERS] as const]) {
    const seen = new Map<string, Measured>()
    for (let round = 0; round < ROUNDS; round++) for (const name of BOTH) await measure(bench, seen, name, name, addons)
    const errors = [...seen.values()].reduce((sum, one) => sum + one.errors, 0)
    const values = new Map([...seen].map(([name, one]) => [name, one.values]))
    rows.push(rowOf(`request through CONNECT, TLS both sides${what}`, "CPU us/request", values, errors))
  }
  return rows
}

export async function streamsBeside(bench: Bench): Promise<Row[]> {
  const cpu = new Map<string, number[]>()
  let errors = 0
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of BOTH) {
      const started = await bench.start(name, DELTA_OBSERVER)
      if (started === undefined) continue
      const seen = await run(started)
      cpu.set(name, [...(cpu.get(name) ?? []), seen.cpu])
      errors += seen.errors
      await started.peer.stop()
    }
  }
  return [rowOf("SSE, every delta decoded", "CPU us/event", cpu, errors)]
}

/** With the conductor and what it brings, which may be more in one of them; and with addons that are the same in both. */
export async function startsBeside({ beside }: Bench): Promise<Row[]> {
  if (beside === undefined) return []
  const rows: Row[] = []
  for (const addons of [
    ["hello", "conductor"],
    ["hello", "usage"],
  ]) {
    const started = new Map<string, number[]>([
      ["llmproxy beside", []],
      ["llmproxy", []],
    ])
    const starters = [await Starter.prepared(beside, addons), await Starter.prepared(".", addons)]
    for (let round = 0; round < ROUNDS * STARTS_A_ROUND; round++)
      for (const [index, times] of [...started.values()].entries())
        times.push((await starters[index]?.untilListening()) ?? Number.NaN)
    for (const one of starters) one.close()
    rows.push(rowOf(`start to listening, ${addons.join(" and ")}`, "ms", started, 0))
  }
  return rows
}

function rowOf(work: string, unit: string, seen: ReadonlyMap<string, readonly number[]>, errors: number): Row {
  const rounds = Object.fromEntries(seen)
  const values = mediansOf(rounds)
  const slower = ratio(values.llmproxy, values["llmproxy beside"])
  return {
    work,
    unit,
    values,
    rounds,
    errors,
    goals: [{ text: "llmproxy / beside", ratio: slower, limit: SLOWER_MAX }],
  }
}
