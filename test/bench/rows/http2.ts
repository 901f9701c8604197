/** CPU per request over HTTP/2: 4 connections with 4 streams each, to an HTTP/2 origin and to an HTTP/1.1 one. */
import { closedLoopHttp2 } from "../load-http2.ts"
import { cpuMicros } from "../process.ts"
import { mediansOf, type Row, ratio } from "../table.ts"
import type { Bench, PeerName, Spoken } from "../world.ts"

const CONNECTIONS = 4
const STREAMS = 4
const REQUESTS: Partial<Record<PeerName, number>> = { relay: 8_000, nginx: 8_000, llmproxy: 8_000, mockttp: 2_000 }

export async function http2Rows(bench: Bench, rounds: number): Promise<Row[]> {
  const rows: Row[] = []
  for (const upstream of ["h2", "http/1.1"] as const) rows.push(await row(bench, rounds, { client: "h2", upstream }))
  return rows
}

async function row(bench: Bench, rounds: number, spoken: Spoken): Promise<Row> {
  const measured: Partial<Record<PeerName, number[]>> = {}
  let errors = 0
  for (let round = 0; round < rounds; round++) {
    for (const name of ["relay", "nginx", "llmproxy", "mockttp"] as const) {
      const started = await bench.start(name, [], spoken)
      if (started === undefined) continue
      const requests = REQUESTS[name] ?? 0
      const warm = await closedLoopHttp2(started.target, requests, CONNECTIONS, STREAMS)
      const before = cpuMicros(started.peer)
      const result = await closedLoopHttp2(started.target, requests, CONNECTIONS, STREAMS)
      const cpu = (cpuMicros(started.peer) - before) / requests
      await started.peer.stop()
      errors += warm.errors + result.errors
      if (warm.errors + result.errors > 0) process.stdout.write(`  ${name}: ${warm.errors + result.errors} errors\n`)
      measured[name] = [...(measured[name] ?? []), cpu]
    }
  }
  const values: Record<string, number | undefined> = mediansOf(measured)
  const { llmproxy } = values
  return {
    work: `request over HTTP/2 to an upstream of ${spoken.upstream === "h2" ? "HTTP/2" : "HTTP/1.1"}, TLS both sides`,
    unit: "CPU us/request",
    values,
    rounds: measured,
    errors,
    goals: [
      { text: "llmproxy / nginx", ratio: ratio(llmproxy, values.nginx), limit: undefined },
      { text: "llmproxy / mockttp", ratio: ratio(llmproxy, values.mockttp), limit: undefined },
    ],
  }
}
