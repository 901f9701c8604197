/** CPU per intercepted request: a closed loop over 16 keep-alive connections, 2 kB up, 1 kB down, TLS on both sides. */
import { closedLoop } from "../load.ts"
import { cpuMicros } from "../process.ts"
import { mediansOf, type Row, ratio } from "../table.ts"
import type { Bench, PeerName } from "../world.ts"

const CONNECTIONS = 16
/** Requests a round; slow peers do fewer, so that a run takes minutes. */
const REQUESTS: Record<PeerName, number> = {
  relay: 12_000,
  nginx: 12_000,
  llmproxy: 12_000,
  "llmproxy beside": 12_000,
  "http-mitm-proxy": 4_000,
  mockttp: 2_000,
  mitmdump: 1_000,
}
export const OBSERVERS = ["observe-one", "observe-two", "observe-keep"].map((name) => `test/bench/addons/${name}.ts`)

export interface Measured {
  readonly values: number[]
  errors: number
}

export async function requestRows(bench: Bench, rounds: number): Promise<Row[]> {
  const peers: readonly PeerName[] = ["nginx", "relay", "llmproxy", "http-mitm-proxy", "mockttp", "mitmdump"]
  const plain = new Map<string, Measured>()
  for (let round = 0; round < rounds; round++) {
    for (const name of peers) await measure(bench, plain, name, name, [])
    await measure(bench, plain, "llmproxy + 3 observers", "llmproxy", OBSERVERS)
  }
  const measured = Object.fromEntries([...plain].map(([name, { values: all }]) => [name, all]))
  const values: Record<string, number | undefined> = mediansOf(measured)
  const errors = [...plain.values()].reduce((sum, one) => sum + one.errors, 0)
  const { llmproxy } = values
  return [
    {
      work: "request through CONNECT, TLS both sides",
      unit: "CPU us/request",
      values,
      rounds: measured,
      errors,
      goals: [
        { text: "llmproxy / nginx", ratio: ratio(llmproxy, values.nginx), limit: 1.6 },
        { text: "llmproxy / http-mitm-proxy", ratio: ratio(llmproxy, values["http-mitm-proxy"]), limit: 0.3 },
        {
          text: "three observing addons / none",
          ratio: ratio(values["llmproxy + 3 observers"], llmproxy),
          limit: 1.15,
        },
      ],
    },
  ]
}

/** One round of a peer, added to what the others of its label gave. */
export async function measure(
  bench: Bench,
  into: Map<string, Measured>,
  label: string,
  name: PeerName,
  addons: readonly string[],
): Promise<void> {
  const started = await bench.start(name, addons)
  if (started === undefined) return
  const requests = REQUESTS[name]
  // Compilers and caches warm up first; what is measured is the steady state.
  const warm = await closedLoop(started.target, requests, CONNECTIONS)
  const before = cpuMicros(started.peer)
  const result = await closedLoop(started.target, requests, CONNECTIONS)
  const cpu = (cpuMicros(started.peer) - before) / requests
  await started.peer.stop()
  const measured = into.get(label) ?? { values: [], errors: 0 }
  measured.values.push(cpu)
  measured.errors += result.errors + warm.errors
  if (result.errors + warm.errors > 0) process.stdout.write(`  ${label}: ${result.errors + warm.errors} errors\n`)
  into.set(label, measured)
}
