/**
 * Streams stream, and endings are true, in the whole program: proxy, client and hosts apart from each other over real
 * sockets. The host sends an event only when the client has reported the one before, so a proxy that waits, merges or
 * buffers stands still, and no clock takes part.
 */
import { readFile } from "node:fs/promises"
import type { Socket } from "node:net"
import { join } from "node:path"
import { type Test, test } from "tap"
import type { OriginRequest, ReplyScript } from "../../lib/testing/origin.ts"
import { WAYS, type Way } from "../helpers/clients/chat-clients.ts"
import { Reports, SseClient } from "../helpers/clients/sse-client.ts"
import { exitsWith, startCommand } from "../helpers/command-process.ts"
import {
  answerEvents,
  CLOUD_NAME,
  chatHost,
  chunk,
  LARGE_PROMPT,
  LAST_CHUNK,
  proxyFolder,
  SMALL_PROMPT,
  SSE_HEAD,
  toPort,
} from "../helpers/hosts/chat-hosts.ts"
import { startOrigin } from "../helpers/test-proxy.ts"

const EVENTS = 500
const MODEL = "scripted"
const PIECES = Array.from({ length: EVENTS }, (_, i) => `word${i} `)
/** Events that a client reads before it leaves. */
const BEFORE_LEAVING = 3
/** What the answer of a client that left may last: so many short exchanges with the same proxy, one after the other. */
const ROUND_TRIPS = 50

interface Setup {
  readonly name: string
  readonly addons: readonly string[]
  readonly prompt: string
  readonly host: "local" | "cloud"
}

const CONDUCTOR = ["-s", "addons/conductor.ts"]
const SETUPS: readonly Setup[] = [
  { name: "no addon", addons: [], prompt: SMALL_PROMPT, host: "cloud" },
  { name: "conductor, local answer", addons: CONDUCTOR, prompt: SMALL_PROMPT, host: "local" },
  { name: "conductor, cloud answer", addons: CONDUCTOR, prompt: LARGE_PROMPT, host: "cloud" },
]

for (const setup of SETUPS)
  test(`streamed answers, ${setup.name}`, async (t) => {
    const world = await startWorld(t, setup)
    for (const way of WAYS) {
      await t.test(`by ${way}: ${EVENTS} events reach the client one by one`, (t) => oneByOne(t, world, way))
      await t.test(`by ${way}: a client that leaves ends the upstream's answer at once`, (t) => leaving(t, world, way))
    }
    await world.stop()
  })

async function oneByOne(t: Test, world: World, way: Way): Promise<void> {
  const reports = new Reports()
  world.reply = async ({ target }, socket) => {
    const events = answerEvents(MODEL, PIECES, target === "/v1/chat/completions")
    socket.write(SSE_HEAD)
    for (const [i, event] of events.entries()) {
      socket.write(chunk(event))
      if (i < EVENTS) await reports.of(i)
    }
    socket.write(LAST_CHUNK)
  }
  const client = await world.connect(t, way)
  const words: string[] = []
  let together = 0
  client.onEvents = (events) => {
    const found = events.map((event) => /word\d+ /.exec(event)?.[0]).filter((word) => word !== undefined)
    if (found.length > 1) together++
    words.push(...found)
    reports.seen(words.length)
  }
  client.ask(world.prompt)
  t.equal(await client.answer, 200)
  t.same(words, PIECES, "every event, once, in order")
  t.equal(together, 0, "no read of the client's brought two")
  client.leave()
}

async function leaving(t: Test, world: World, way: Way): Promise<void> {
  const reports = new Reports()
  let closed: number | undefined
  world.reply = async ({ target }, socket) => {
    socket.once("close", () => {
      closed = performance.now()
    })
    socket.write(SSE_HEAD)
    for (const event of answerEvents(MODEL, PIECES, target === "/v1/chat/completions").slice(0, BEFORE_LEAVING))
      socket.write(chunk(event))
  }
  const client = await world.connect(t, way)
  let seen = 0
  client.onEvents = (events) => {
    seen += events.filter((event) => event.includes("word")).length
    reports.seen(seen)
  }
  client.ask(world.prompt)
  await reports.of(BEFORE_LEAVING - 1)
  t.equal(closed, undefined, "the host's answer has no end of its own")
  const left = performance.now()
  client.leave()
  await t.rejects(client.answer)
  for (let i = 0; i < ROUND_TRIPS; i++) await world.roundTrip()
  t.ok(closed !== undefined, `the host saw its answer end before ${ROUND_TRIPS} round trips were over`)
  t.comment(`ended ${((closed ?? Number.NaN) - left).toFixed(1)} ms after the client left`)
}

interface World {
  readonly prompt: string
  /** Answers the chats at both hosts. */
  reply: ReplyScript
  connect(t: Test, way: Way): Promise<SseClient>
  /** A short exchange with the proxy itself. */
  roundTrip(): Promise<void>
  stop(): Promise<void>
}

/** The proxy in its own process, a local host and a cloud. */
async function startWorld(t: Test, { addons, prompt, host }: Setup): Promise<World> {
  const pages = chatHost(MODEL, [])
  const script = (request: OriginRequest, socket: Socket) =>
    (request.method === "POST" ? world.reply : pages)(request, socket)
  const cloud = await startOrigin(t, script, CLOUD_NAME)
  const local = await startOrigin(t, script)
  const { folder, flags } = await proxyFolder(t)
  const localUrl = addons.length === 0 ? [] : ["--set", `conductor.localUrl=http://127.0.0.1:${local.port}`]
  const args = ["-p", "0", ...flags, ...addons, ...localUrl, ...toPort(CLOUD_NAME, cloud.port)]
  const proxy = startCommand(t, args, { folder })
  const [, port] = await proxy.printed(/listening on http:\/\/127\.0\.0\.1:(\d+)/)
  const ca = await readFile(join(folder, "conf", "llmproxy-ca-cert.pem"), "latin1")
  const world: World = {
    prompt,
    reply: pages,
    async connect(t, way) {
      const client = await SseClient.connect({ port: Number(port), ca, way })
      t.teardown(() => client.leave())
      return client
    },
    async roundTrip() {
      const answer = await fetch(`http://127.0.0.1:${port}/.llmproxy/none`)
      await answer.text()
    },
    async stop() {
      proxy.signal("SIGTERM")
      exitsWith(t, 0, await proxy.outcome)
      const other = host === "local" ? cloud : local
      t.notOk(
        other.requests.some(({ method }) => method === "POST"),
        `only the ${host} host was asked`,
      )
    },
  }
  return world
}
