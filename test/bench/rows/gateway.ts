/**
 * CPU per request through `-s gateway`, with 10,000 keys in its database: the key's check, the route, what it has used, and the
 * record; beside the same request at the base-URL door of the same build without addons, to the same upstream. In clear from
 * the client, TLS to the upstream. Portkey's gateway and LiteLLM's proxy are asked the same where LLMPROXY_BENCH_PORTKEY (the
 * folder of `@portkey-ai/gateway`) and LLMPROXY_BENCH_LITELLM (the program) name them.
 */
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { DatabaseSync } from "@photostructure/sqlite"
import { BODY, roundTrip } from "../load.ts"
import { cpuMicros } from "../process.ts"
import { mediansOf, type Row, ratio } from "../table.ts"
import type { Bench, Started } from "../world.ts"
import type { Measured } from "./requests.ts"

const KEYS = 10_000
/** Of them, those that ask. */
const ASKING = 100
/** Requests that run at a time, at most. */
const CONNECTIONS = 64
/** Requests a second. A peer that cannot do so many gets as many as it can. */
const RATE = 1_000
const REQUESTS = { llmproxy: 4_000, portkey: 4_000, litellm: 1_000 }
/** High enough that nothing is refused. */
const LIMITS = JSON.stringify({ requests: { minute: 10_000_000 }, tokens: { day: 1_000_000_000_000 }, parallel: 1_000 })

interface Asking {
  /** The label of what is measured. */
  readonly label: string
  readonly requests: number
  start(): Promise<Started | undefined>
  /** Fields of a request, by its number. */
  fields(index: number): Readonly<Record<string, string>>
}

export async function gatewayRow(bench: Bench, rounds: number): Promise<Row[]> {
  const measured = new Map<string, Measured>()
  const peers = [...ownPeers(bench), portkey(bench), litellm(bench)].filter((peer) => peer !== undefined)
  for (let round = 0; round < rounds; round++) for (const peer of peers) await measure(measured, peer)
  const all = Object.fromEntries([...measured].map(([name, { values }]) => [name, values]))
  const values: Record<string, number | undefined> = mediansOf(all)
  const { door } = values
  return [
    {
      work: `request at the base URL, ${RATE} a second, ${KEYS} keys stored, TLS to the upstream`,
      unit: "CPU us/request",
      values,
      rounds: all,
      errors: [...measured.values()].reduce((sum, one) => sum + one.errors, 0),
      goals: [
        { text: "gateway / door", ratio: ratio(values.gateway, door), limit: 1.5 },
        {
          text: "gateway without its history / door",
          ratio: ratio(values["gateway, no history"], door),
          limit: undefined,
        },
        { text: "gateway, keys with limits / door", ratio: ratio(values["gateway, limits"], door), limit: undefined },
        { text: "gateway / Portkey", ratio: ratio(values.gateway, values.portkey), limit: undefined },
        { text: "gateway / LiteLLM", ratio: ratio(values.gateway, values.litellm), limit: undefined },
      ],
    },
  ]
}

/** The door without addons, and the gateway in three forms. */
function ownPeers(bench: Bench): Asking[] {
  const upstream = `https://localhost:${bench.origin.port}`
  const upstreams = JSON.stringify({ openai: { url: `${upstream}/v1`, key: "sk-bench-0123456789abcdef" } })
  const routes = JSON.stringify([{ model: "gpt-*", to: ["openai"] }])
  const sets = [
    `--set=baseUpstream=${upstream}`,
    `--set=models.upstreams=${upstreams}`,
    `--set=models.routes=${routes}`,
  ]
  const plain = keysIn(join(bench.dir, "gateway"), false)
  const limited = keysIn(join(bench.dir, "gateway-limits"), true)
  const start = (confdir: string, ...more: string[]) => bench.start("llmproxy", more, undefined, confdir)
  const asking = (keys: readonly string[]) => (index: number) => ({ authorization: `Bearer ${keys[index % ASKING]}` })
  const base = { requests: REQUESTS.llmproxy }
  return [
    { ...base, label: "door", start: () => start(join(bench.dir, "door"), sets[0] ?? ""), fields: asking(plain.keys) },
    { ...base, label: "gateway", start: () => start(plain.confdir, "gateway", ...sets), fields: asking(plain.keys) },
    {
      ...base,
      label: "gateway, no history",
      start: () => start(plain.confdir, "gateway", ...sets, "--set=gateway.without=history"),
      fields: asking(plain.keys),
    },
    {
      ...base,
      label: "gateway, limits",
      start: () => start(limited.confdir, "gateway", ...sets),
      fields: asking(limited.keys),
    },
  ]
}

/** A confdir with keys in its database, by the program's own command. */
function keysIn(confdir: string, isLimited: boolean): { confdir: string; keys: string[] } {
  mkdirSync(confdir, { recursive: true })
  const keys = Array.from({ length: KEYS }, () => randomBytes(20).toString("hex"))
  const file = join(confdir, "api_keys.json")
  writeFileSync(file, JSON.stringify(Object.fromEntries(keys.entries())))
  execFileSync(process.execPath, ["dist/bin/llmproxy.js", "keys", "import", file, "--confdir", confdir], {
    stdio: ["ignore", "ignore", "inherit"],
  })
  const database = new DatabaseSync(join(confdir, "state.db"))
  if (isLimited) database.prepare("update keys__keys set limits = ?").run(LIMITS)
  database.close()
  return { confdir, keys }
}

function portkey(bench: Bench): Asking | undefined {
  const { LLMPROXY_BENCH_PORTKEY: folder } = process.env
  if (folder === undefined) return skipped("Portkey's gateway", "LLMPROXY_BENCH_PORTKEY")
  const fields = {
    authorization: "Bearer sk-bench-0123456789abcdef",
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": `https://localhost:${bench.origin.port}/v1`,
  }
  return {
    label: "portkey",
    requests: REQUESTS.portkey,
    start: () =>
      bench.startOther("portkey", (port) => ({
        command: [process.execPath, join(folder, "build/start-server.js"), `--port=${port}`, "--headless"],
        env: { NODE_EXTRA_CA_CERTS: bench.caFile, TRUSTED_CUSTOM_HOSTS: "localhost", NODE_ENV: "production" },
      })),
    fields: () => fields,
  }
}

function litellm(bench: Bench): Asking | undefined {
  const { LLMPROXY_BENCH_LITELLM: program } = process.env
  if (program === undefined) return skipped("LiteLLM's proxy", "LLMPROXY_BENCH_LITELLM")
  const config = join(bench.dir, "litellm.yaml")
  const at = `api_base: "https://localhost:${bench.origin.port}/v1", api_key: sk-bench-0123456789abcdef`
  writeFileSync(
    config,
    `model_list:\n  - { model_name: gpt-4o, litellm_params: { model: openai/gpt-4o, ${at} } }\ngeneral_settings: { master_key: sk-bench }\n`,
  )
  return {
    label: "litellm",
    requests: REQUESTS.litellm,
    start: () =>
      bench.startOther("litellm", (port) => ({
        command: [program, "--config", config, "--port", String(port), "--host", "127.0.0.1"],
        env: { SSL_CERT_FILE: bench.caFile, LITELLM_LOCAL_MODEL_COST_MAP: "True", LITELLM_LOG: "ERROR" },
      })),
    fields: () => ({ authorization: "Bearer sk-bench" }),
  }
}

function skipped(name: string, variable: string): undefined {
  process.stdout.write(`  ${name} is not measured: ${variable} is not set\n`)
  return undefined
}

async function measure(into: Map<string, Measured>, { label, requests, start, fields }: Asking): Promise<void> {
  const started = await start()
  if (started === undefined) return
  const { port } = started.target
  const warm = await paced(port, requests, fields)
  const before = cpuMicros(started.peer)
  const errors = await paced(port, requests, fields)
  const cpu = (cpuMicros(started.peer) - before) / requests
  await started.peer.stop()
  const measured = into.get(label) ?? { values: [], errors: 0 }
  measured.values.push(cpu)
  measured.errors += errors + warm
  if (errors + warm > 0) process.stdout.write(`  ${label}: ${errors + warm} errors\n`)
  into.set(label, measured)
}

/**
 * Requests in clear over keep-alive connections, so many a second whoever is asked; the number that failed. Not as many as
 * possible: a peer that is never idle is woken by nobody and wakes nobody, and each of its writes costs half of what it costs
 * a peer that waits for the next request, so that the faster of two would be compared in another state than the slower.
 */
async function paced(port: number, requests: number, fields: Asking["fields"]): Promise<number> {
  let sent = 0
  let running = 0
  let errors = 0
  const idle: Socket[] = []
  const ask = async (text: string) => {
    running++
    let socket = idle.pop()
    try {
      socket ??= await opened(port)
      const { body, closes } = await roundTrip(socket, text)
      if (!body.includes('"usage"')) errors++
      if (closes) socket.destroy()
      else idle.push(socket)
    } catch {
      errors++
      socket?.destroy()
    }
    running--
  }
  const began = performance.now()
  while (sent < requests || running > 0) {
    const due = Math.min(requests, Math.floor(((performance.now() - began) * RATE) / 1_000))
    while (sent < due && running < CONNECTIONS) void ask(requestText(port, fields(sent++)))
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  for (const socket of idle) socket.destroy()
  return errors
}

function requestText(port: number, more: Readonly<Record<string, string>>): string {
  const fields = {
    host: `127.0.0.1:${port}`,
    "user-agent": "bench/1.0",
    accept: "application/json",
    "content-type": "application/json",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
    "content-length": String(BODY.length),
    ...more,
  }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return `POST /v1/chat/completions HTTP/1.1\r\n${lines.join("")}\r\n${BODY}`
}

function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => {
      socket.off("error", reject)
      resolve(socket)
    })
    socket.once("error", reject)
  })
}
