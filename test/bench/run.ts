/**
 * `npm run bench`: the figures of the design, each as a ratio to a peer in the same run, CPU time from the operating
 * system, medians of three rounds. `npm run bench -- requests streams` runs those rows only; with `--beside DIR`, another
 * checkout in which the benchmark was built, these two and `start` compare it with this one. Linux.
 */
import { writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { requestsBeside, startsBeside, streamsBeside } from "./rows/beside.ts"
import { gatewayRow } from "./rows/gateway.ts"
import { http2Rows } from "./rows/http2.ts"
import { requestRows } from "./rows/requests.ts"
import { routingRows } from "./rows/routing.ts"
import { firstConnectionRow, installRow, startRow } from "./rows/starts.ts"
import { memoryRows, streamRow } from "./rows/streams.ts"
import { printRow, type Row } from "./table.ts"
import { type Bench, describeMachine, makeBench } from "./world.ts"

const ROUNDS = 3
const RESULTS = "bench-results.json"

const SECTIONS: Record<string, (bench: Bench) => Promise<Row[]> | Row[] | AsyncIterable<Row>> = {
  requests: (bench) => requestRows(bench, ROUNDS),
  http2: (bench) => http2Rows(bench, ROUNDS),
  streams: (bench) => streamRow(bench, ROUNDS),
  gateway: (bench) => gatewayRow(bench, ROUNDS),
  memory: (bench) => memoryRows(bench, ROUNDS),
  first: (bench) => firstConnectionRow(bench),
  routing: (bench) => routingRows(bench),
  start: () => startRow(ROUNDS),
  install: () => installRow(),
}

const BESIDE: typeof SECTIONS = { requests: requestsBeside, streams: streamsBeside, start: startsBeside }

const { values, positionals: wanted } = parseArgs({
  options: { beside: { type: "string" } },
  allowPositionals: true,
  strict: true,
})
const sections = values.beside === undefined ? SECTIONS : BESIDE
const unknown = wanted.find((name) => !(name in sections))
// Peers are in groups of their own: an interrupt at the terminal reaches this process alone, which then ends them.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1))
if (process.platform !== "linux") {
  process.stdout.write("npm run bench reads /proc, which only Linux has\n")
} else if (unknown !== undefined) {
  process.stdout.write(`no section "${unknown}"; there are ${Object.keys(sections).join(", ")}\n`)
  process.exitCode = 2
} else {
  const bench = await makeBench(values.beside)
  const rows: Row[] = []
  const machine = describeMachine()
  process.stdout.write(`${machine}\n`)
  try {
    for (const [name, section] of Object.entries(sections)) {
      if (wanted.length > 0 && !wanted.includes(name)) continue
      for await (const row of await section(bench)) {
        rows.push(row)
        process.stdout.write(`${printRow(row)}\n`)
      }
    }
  } finally {
    await bench.close()
  }
  writeFileSync(RESULTS, `${JSON.stringify({ machine, rows }, null, 2)}\n`)
  process.stdout.write(`written to ${RESULTS}\n`)
}
