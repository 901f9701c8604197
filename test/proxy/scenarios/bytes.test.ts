/**
 * Bytes out equal bytes in: 1,000 generated exchanges through interception, absolute-form and the base URL. A hash over
 * the kept field lines and the body is compared at client, proxy and origin.
 */
import type { Socket } from "node:net"
import { type Test, test } from "tap"
import type { OriginRequest } from "../../../lib/testing/origin.ts"
import { everythingTo, sharedCertificates, startOrigin, startProxy, type TestProxy } from "../../helpers/test-proxy.ts"
import {
  digest,
  type GeneratedExchange,
  type GeneratedMessage,
  generateExchange,
  Random,
  toPieces,
} from "../../helpers/wire/generated-exchange.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const EXCHANGES = 1_000
const CLIENTS = 6
/** A connection is made anew after so many, beside those that end by themselves. */
const EXCHANGES_PER_CONNECTION = 15
const KEEP_BYTES = 1_048_576

type Door = "interception" | "absolute-form" | "base URL"

interface Digests {
  request?: string
  response?: string
}

const seed = Number(process.env.LLMPROXY_TEST_SEED ?? Date.now() % 2_147_483_647)

async function writePieces(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece)
    if (pieces.length > 1) await new Promise((resolve) => setImmediate(resolve))
  }
}

/** What one side saw of each exchange, by its number in the path. */
class Witness {
  readonly seen = new Map<number, Digests>()

  at(path: string): { id: number; digests: Digests } {
    const id = Number(/\/(\d+)\?/.exec(path)?.[1])
    const digests = this.seen.get(id) ?? {}
    this.seen.set(id, digests)
    return { id, digests }
  }
}

function originScript(exchanges: readonly GeneratedExchange[], witness: Witness, host: boolean) {
  return async (request: OriginRequest, socket: Socket): Promise<void> => {
    const { id, digests } = witness.at(request.target)
    const exchange = exchanges[id]
    if (exchange === undefined) throw new Error(`no exchange has the path ${request.target}`)
    const [, ...lines] = request.head.split("\r\n")
    digests.request = digest(lines, request.body, host)
    const trailers = exchange.request.trailers.map((line) => `${line}\r\n`).join("")
    const framed = exchange.request.framing === "chunked"
    if (framed && !request.rawBody.toString("latin1").endsWith(`0\r\n${trailers}\r\n`))
      digests.request = "other trailers"
    const random = new Random(seed + id)
    const { status, reason, response } = exchange
    await writePieces(socket, toPieces(random, `HTTP/1.1 ${status} ${reason}`, response))
    if (response.framing === "until-close") socket.end()
  }
}

function hooksOf(witness: Witness, host: boolean) {
  return {
    async requestHeaders(flow: import("../../../lib/api/flow.ts").Flow): Promise<void> {
      const { id } = witness.at(flow.request.path)
      if (id % 2 === 0) await flow.request.collect()
    },
    request(flow: import("../../../lib/api/flow.ts").Flow): void {
      const { id, digests } = witness.at(flow.request.path)
      // Half of the bodies stream on, unseen by hooks.
      if (id % 2 === 0) digests.request = digest(flow.request.headers.lines(), flow.request.bytes, host)
    },
    responseHeaders(flow: import("../../../lib/api/flow.ts").Flow): void {
      flow.response?.keep(KEEP_BYTES)
    },
    response(flow: import("../../../lib/api/flow.ts").Flow): void {
      if (flow.response === undefined) return
      const { digests } = witness.at(flow.request.path)
      digests.response = digest(flow.response.headers.lines(), flow.response.bytes, true)
    },
  }
}

async function connect(proxy: TestProxy, door: Door): Promise<Wire> {
  if (door !== "interception") return Wire.connect(proxy.port)
  const tunnel = await Wire.tunnel(proxy.port, "bytes.test:443")
  return tunnel.secure({ servername: "bytes.test", ca: proxy.certificates.ca })
}

const hostLine: Record<Door, string> = {
  interception: "hOST:  bytes.test ",
  "absolute-form": "HOST:\tbytes.test",
  "base URL": "Host: localhost",
}

async function runDoor(t: Test, door: Door, exchanges: readonly GeneratedExchange[]): Promise<void> {
  const host = door !== "base URL" // There the Host line is rewritten: it named us.
  const [atProxy, atOrigin] = [new Witness(), new Witness()]
  const tls = door === "interception" ? "bytes.test" : undefined
  const origin = await startOrigin(t, originScript(exchanges, atOrigin, host), tls)
  const settings = { ...everythingTo(origin), baseUpstream: new URL("http://bytes.test") }
  const proxy = await startProxy(t, { settings, hooks: hooksOf(atProxy, host) })
  let next = 0
  let wrong = 0
  const check = (id: number, what: string, expected: string, actual: string | undefined) => {
    if (expected === actual) return
    // One is enough to look at: the seed makes it again.
    if (wrong++ === 0) t.fail(`exchange ${id} of seed ${seed}, ${door}: ${what} differs`, { exchange: exchanges[id] })
  }
  const runClient = async () => {
    let wire = await connect(proxy, door)
    let carried = 0
    for (let id = next++; id < exchanges.length; id = next++) {
      const exchange = exchanges[id]
      if (exchange === undefined) return
      const lines = [...exchange.request.lines, hostLine[door]]
      const request: GeneratedMessage = { ...exchange.request, lines }
      const target = door === "absolute-form" ? `http://bytes.test${exchange.path}` : exchange.path
      const start = `${exchange.method} ${target} HTTP/1.1`
      await writePieces(wire.socket, toPieces(new Random(seed - id), start, request))
      const response = await wire.response(exchange.method)
      const sent = digest(lines, request.body, host)
      check(id, "the request at the origin", sent, atOrigin.seen.get(id)?.request)
      if (id % 2 === 0) check(id, "the request at the proxy", sent, atProxy.seen.get(id)?.request)
      const made = digest(exchange.response.lines, exchange.response.body, true)
      check(id, "the response at the client", made, digest(response.headers.lines(), response.body, true))
      check(
        id,
        "the status line",
        `${exchange.status} ${exchange.reason}`,
        `${response.status} ${response.head.reason}`,
      )
      check(id, "the trailers", exchange.response.trailers.join("\n"), (response.trailers?.lines() ?? []).join("\n"))
      if (++carried < EXCHANGES_PER_CONNECTION) continue
      wire.end()
      wire = await connect(proxy, door)
      carried = 0
    }
    wire.end()
  }
  await Promise.all(Array.from({ length: CLIENTS }, runClient))
  for (const [id, exchange] of exchanges.entries()) {
    const made = digest(exchange.response.lines, exchange.response.body, true)
    check(id, "the response at the proxy", made, atProxy.seen.get(id)?.response)
  }
  t.equal(wrong, 0, `${exchanges.length} exchanges by ${door}, ${origin.connections} upstream connections`)
  t.equal(origin.requests.length, exchanges.length, "client, proxy and origin agree on the count")
  t.equal(atProxy.seen.size, exchanges.length)
}

test("bytes out equal bytes in", async (t) => {
  t.comment(`seed ${seed}; LLMPROXY_TEST_SEED=${seed} repeats it`)
  await sharedCertificates()
  const random = new Random(seed)
  const doors: readonly Door[] = ["interception", "absolute-form", "base URL"]
  for (const [index, door] of doors.entries()) {
    const count = Math.floor(EXCHANGES / doors.length) + (index < EXCHANGES % doors.length ? 1 : 0)
    const exchanges = Array.from({ length: count }, (_, id) => generateExchange(random, id))
    await runDoor(t, door, exchanges)
  }
})
