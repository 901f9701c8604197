/** Server-sent events: CPU per event while every delta is decoded, latency, and what open streams cost in memory. */
import { type LoadTarget, openStreams, type StreamSeen } from "../load.ts"
import { cpuMicros, residentBytes } from "../process.ts"
import { mediansOf, percentile, type Row, ratio } from "../table.ts"
import type { Bench, PeerName, Started } from "../world.ts"

const STREAMS = 200
const EVENTS_PER_SECOND = 50
const SECONDS = 4
export const DELTA_OBSERVER = ["test/bench/addons/observe-deltas.ts"]

export async function streamRow(bench: Bench, rounds: number): Promise<Row[]> {
  const cpu = new Map<string, number[]>()
  const latency = new Map<string, number[]>()
  let errors = 0
  for (let round = 0; round < rounds; round++) {
    for (const name of ["relay", "llmproxy", "http-mitm-proxy"] as const) {
      const addons = name === "llmproxy" ? DELTA_OBSERVER : []
      const started = await bench.start(name, addons)
      if (started === undefined) continue
      const seen = await run(started)
      append(cpu, name, seen.cpu)
      append(latency, name, seen.p99)
      errors += seen.errors
      await started.peer.stop()
    }
  }
  const [cpuRounds, latencyRounds] = [Object.fromEntries(cpu), Object.fromEntries(latency)]
  const cpuValues: Record<string, number | undefined> = mediansOf(cpuRounds)
  const latencyValues: Record<string, number | undefined> = mediansOf(latencyRounds)
  return [
    {
      work: `SSE, ${STREAMS} streams of ${EVENTS_PER_SECOND} events/s, every delta decoded`,
      unit: "CPU us/event",
      values: cpuValues,
      rounds: cpuRounds,
      errors,
      goals: [{ text: "llmproxy / relay", ratio: ratio(cpuValues.llmproxy, cpuValues.relay), limit: 1.5 }],
    },
    {
      work: "the same: origin's write to client's read, p99",
      unit: "ms",
      values: latencyValues,
      rounds: latencyRounds,
      errors: 0,
      goals: [{ text: "llmproxy / relay", ratio: ratio(latencyValues.llmproxy, latencyValues.relay), limit: 2 }],
    },
  ]
}

/** CPU microseconds an event, and the 99th percentile of the milliseconds from write to read. */
export async function run({ peer, target }: Started): Promise<{ cpu: number; p99: number; errors: number }> {
  const events = EVENTS_PER_SECOND * SECONDS
  const warm = await openStreams(target, STREAMS, EVENTS_PER_SECOND, EVENTS_PER_SECOND)
  await allDone(warm)
  const streams = await openStreams(target, STREAMS, EVENTS_PER_SECOND, events)
  const before = cpuMicros(peer)
  const counted = streams.reduce((sum, one) => sum + one.events, 0)
  await allDone(streams)
  const total = streams.reduce((sum, one) => sum + one.events, 0)
  const cpu = (cpuMicros(peer) - before) / (total - counted)
  const p99 =
    percentile(
      streams.flatMap((one) => one.latencies),
      0.99,
    ) / 1e6
  const errors = streams.filter((one) => one.events !== events).length
  for (const one of [...warm, ...streams]) one.socket.destroy()
  return { cpu, p99, errors }
}

async function allDone(streams: readonly StreamSeen[]): Promise<void> {
  for (let waited = 0; waited < 60_000 && streams.some((one) => !one.done); waited += 50) await pause(50)
}

/** Open streams, and who is to hold so many: http-mitm-proxy has four sockets for each, more than most limits of files let it. */
const OPEN_STREAMS: readonly (readonly [count: number, peers: readonly PeerName[]])[] = [
  [1_000, ["relay", "llmproxy", "http-mitm-proxy"]],
  [5_000, ["relay", "llmproxy"]],
]

/** Each as soon as it is measured: the second one takes some minutes. */
export async function* memoryRows(bench: Bench, rounds: number): AsyncGenerator<Row> {
  for (const [count, peers] of OPEN_STREAMS) {
    const perStream = new Map<string, number[]>()
    const after = new Map<string, number[]>()
    for (let round = 0; round < rounds; round++) {
      for (const name of peers) await measureMemory(bench, name, count, perStream, after)
    }
    const values: Record<string, number | undefined> = mediansOf(Object.fromEntries(perStream))
    const again: Record<string, number | undefined> = mediansOf(Object.fromEntries(after))
    yield {
      work: `${count} open SSE streams`,
      unit: "resident kB/stream",
      values,
      rounds: Object.fromEntries(perStream),
      errors: 0,
      goals: [
        { text: "llmproxy / relay", ratio: ratio(values.llmproxy, values.relay), limit: 1.15 },
        // Flat: opened and closed once more, the process is no larger than after the first time.
        { text: "llmproxy, second time / first time", ratio: again.llmproxy, limit: 1.1 },
      ],
    }
  }
}

async function measureMemory(
  bench: Bench,
  name: PeerName,
  count: number,
  perStream: Map<string, number[]>,
  after: Map<string, number[]>,
): Promise<void> {
  const started = await bench.start(name)
  if (started === undefined) return
  const { peer, target } = started
  await openAndClose(target, 50)
  const before = residentBytes(peer)
  const streams = await openStreams(target, count, 1, 0)
  await pause(1_500)
  const open = residentBytes(peer)
  append(perStream, name, (open - before) / count / 1_024)
  for (const one of streams) one.socket.destroy()
  await pause(1_500)
  const again = await openStreams(target, count, 1, 0)
  await pause(1_500)
  append(after, name, residentBytes(peer) / open)
  for (const one of again) one.socket.destroy()
  await peer.stop()
  await pause(500)
}

async function openAndClose(target: LoadTarget, count: number): Promise<void> {
  const streams = await openStreams(target, count, 1, 0)
  await pause(500)
  for (const one of streams) one.socket.destroy()
  await pause(500)
}

function append(map: Map<string, number[]>, name: string, value: number): void {
  map.set(name, [...(map.get(name) ?? []), value])
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
