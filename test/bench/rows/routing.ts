/** A chat request of 16,000 tokens on its way through the conductor: what counting and deciding add. */
import { readdirSync, readFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { cpuMicros, loopMaxMs } from "../process.ts"
import { median, type Row, ratio } from "../table.ts"
import type { Bench, Started } from "../world.ts"

/** Source code of this many characters is some 16,000 tokens. */
const CHARACTERS = 64_000
const TURNS = 20
const REPEATS = 60
/** Bytes of one repeated letter: what a tokenizer takes longest for. */
const LETTERS = 1_048_576

export async function routingRows(bench: Bench): Promise<Row[]> {
  const plain = await bench.start("llmproxy", [])
  const routed = await bench.start("llmproxy", ["addons/conductor.ts", "--set=conductor.hosts=localhost"])
  if (plain === undefined || routed === undefined) return []
  try {
    // The tokenizer is loaded and the code compiled: what is measured is the steady state.
    for (let index = 0; index < REPEATS; index++) {
      await send(routed, conversation(0, index))
      await send(plain, conversation(0, index))
    }
    const base = await cpuOf(plain, (index) => conversation(index + 1, 0))
    const first = await cpuOf(routed, (index) => conversation(index + 1, 0))
    const grown = await cpuOf(routed, (index) => conversation(1, index + 1))
    const loop = await loopRow(plain, routed)
    const values = { "added, first time": first - base, "added, last message new": grown - base }
    return [
      {
        work: "16,000-token chat request, conductor, tokenizer loaded",
        unit: "CPU ms added",
        values,
        errors: 0,
        goals: [
          { text: "milliseconds, first time", ratio: ratio(values["added, first time"], 1), limit: 15 },
          { text: "milliseconds, last message new", ratio: ratio(values["added, last message new"], 1), limit: 1 },
        ],
      },
      loop,
    ]
  } finally {
    await plain.peer.stop()
    await routed.peer.stop()
  }
}

/** The longest stop of the event loop: bodies as large with nothing to count show what reading alone takes. */
async function loopRow(plain: Started, routed: Started): Promise<Row> {
  const letters = JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "a".repeat(LETTERS) }] })
  const values = {
    "1 MB of one letter": await stopOf(routed, () => letters),
    "16,000 tokens": await stopOf(routed, (index) => conversation(1_000 + index, 0)),
    "without conductor, 1 MB": await stopOf(plain, () => letters),
  }
  const [one, sixteen] = [values["1 MB of one letter"], values["16,000 tokens"]]
  return {
    work: "longest stop of the event loop in a routed request",
    unit: "ms",
    values,
    errors: 0,
    goals: [
      { text: "milliseconds, 1 MB of one letter", ratio: one, limit: 10 },
      { text: "milliseconds, 16,000 tokens", ratio: sixteen, limit: 10 },
    ],
  }
}

/** Median of the longest stops of some requests: one alone may meet a collection of garbage. */
async function stopOf(started: Started, body: (index: number) => string): Promise<number> {
  await send(started, body(0))
  await loopMaxMs(started.peer)
  const stops: number[] = []
  for (let index = 1; index <= REPEATS; index++) {
    await send(started, body(index))
    stops.push(await loopMaxMs(started.peer))
  }
  return median(stops)
}

/** Median CPU milliseconds of a request, measured together: one alone may meet a collection of garbage. */
async function cpuOf(started: Started, body: (index: number) => string): Promise<number> {
  const rounds: number[] = []
  for (let round = 0; round < 3; round++) {
    const before = cpuMicros(started.peer)
    for (let index = 0; index < REPEATS; index++) await send(started, body(round * REPEATS + index))
    rounds.push((cpuMicros(started.peer) - before) / REPEATS / 1_000)
  }
  return median(rounds)
}

/** A conversation of TURNS messages; `seed` makes all of them new, `extra` only the last one. */
function conversation(seed: number, extra: number): string {
  const per = Math.floor(CHARACTERS / TURNS)
  const messages = Array.from({ length: TURNS }, (_, turn) => {
    // Steps of a prime through the text: no two messages of a run are the same.
    const from = ((seed * TURNS + turn) * 7_919) % (corpus.length - per)
    const content = corpus.slice(from, from + per)
    return {
      role: turn % 2 === 0 ? "user" : "assistant",
      content: turn === TURNS - 1 ? `${extra} ${content}` : content,
    }
  })
  return JSON.stringify({ model: "gpt-4o", messages })
}

/** This project's own source: what coding agents send. */
function readCorpus(): string {
  const files = readdirSync("lib", { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"))
  return files
    .sort()
    .map((name) => readFileSync(join("lib", name), "utf8"))
    .join("\n")
}

const corpus = readCorpus()

/** One request as a proxy request in clear: TLS is not what is measured. */
function send({ peer, target }: Started, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(peer.port, "127.0.0.1")
    const head = `POST https://${target.host}:${target.originPort}/v1/chat/completions HTTP/1.1\r\nHost: ${target.host}\r\nAuthorization: Bearer sk-bench\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
    socket.on("error", reject)
    socket.on("data", () => {})
    socket.on("end", () => socket.destroy())
    socket.on("close", () => resolve())
    socket.write(head + body)
  })
}
