/**
 * Answers that a server begins by itself: Responses does so when input was added to an answer that runs ("Mid-turn
 * steering"). Each is a turn with all its hooks, and never taken for the answer to something else.
 */
import { readFileSync } from "node:fs"
import { type Test, test } from "tap"
import type { WebSocket } from "ws"
import type { Flow } from "../../../lib/api/flow.ts"
import type { LoadedAddon } from "../../../lib/loader/chain.ts"
import { TURNS_MAX } from "../../../lib/proxy/websocket/turns.ts"
import { addon, until } from "../../helpers/hosts/proxy-host.ts"
import { type SocketHost, startSocketHost } from "../../helpers/hosts/websocket-host.ts"

const PATH = "/v1/responses"
const RECORDED = "test/fixtures/llm/openai-responses"

/** The messages of a recorded answer, whose texts are `texts`; on a WebSocket each event is one message. */
function recorded(name: string, edit: (message: string) => string = (message) => message): string[] {
  const lines = readFileSync(`${RECORDED}/${name}.sse`, "utf8").split("\n")
  return lines.filter((line) => line.startsWith("data: {")).map((line) => edit(line.slice("data: ".length)))
}

function ask(input: string, more: object = {}): string {
  return JSON.stringify({ type: "response.create", model: "gpt-x", input, ...more })
}

const named = (id: string) => (message: string) => message.replaceAll("resp_made0up", id)
const inLane = (lane: string) => (message: string) => message.replace('{"type"', `{"stream_id":"${lane}","type"`)

/** How a response ends that was steered, and what follows it. */
const STEERED = JSON.stringify({
  type: "response.incomplete",
  response: { id: "resp_1", status: "incomplete", incomplete_details: { reason: "steered" }, output: [] },
})
const ACCEPTED = JSON.stringify({
  type: "response.steer.accepted",
  sequence_number: 4,
  steer: { id: "steer_1", previous_response_id: "resp_1" },
})

interface Seen {
  readonly addon: LoadedAddon
  readonly events: string[]
}

/** Writes down each turn's hooks. */
function watching(): Seen {
  const events: string[] = []
  const note = (flow: Flow, what: string) => void events.push(`${flow.turn?.number} ${what}`)
  const hooks: LoadedAddon["hooks"] = {
    llmRequest: (flow) => note(flow, `asks ${flow.llm.dialect} ${flow.llm.request.model} ${flow.llm.request.stream}`),
    llmDelta(flow, delta) {
      if (delta.type === "text") note(flow, `says ${delta.text}`)
    },
    llmResponse: (flow, { text, finishReason }) => note(flow, `said ${text} ${finishReason.raw}`),
    response(flow) {
      if (flow.turn !== undefined) note(flow, "response")
    },
    error(flow, { code }) {
      if (flow.turn !== undefined) note(flow, code)
    },
  }
  return { addon: addon("watching", hooks), events }
}

/** A client, its server's end, and what the client has been told. */
async function connected(t: Test, addons: readonly LoadedAddon[], more: { settings?: { bodyLimit: number } } = {}) {
  const asked: string[] = []
  const serve = (socket: WebSocket) => void socket.on("message", (data) => asked.push(String(data)))
  const host = await startSocketHost(t, { addons, serve, ...more })
  const client = await host.client({}, PATH)
  await until(() => host.served.length === 1)
  const say = (messages: readonly string[]) => {
    for (const message of messages) host.served[0]?.send(message)
  }
  const take = async (count: number) => {
    const got: string[] = []
    while (got.length < count) got.push(String(await client.next()))
    return got
  }
  return { host, client, asked, say, take }
}

async function over(host: SocketHost, { socket, closed }: { socket: WebSocket; closed: Promise<unknown> }) {
  socket.close()
  await closed
  await host.proxy.settled()
}

test("an answer that a Responses server begins by itself is a turn with all its hooks, and its bytes stay", async (t) => {
  const seen = watching()
  const { host, client, say, take } = await connected(t, [seen.addon])
  const messages = recorded("text")
  say(messages)
  t.same(await take(messages.length), messages)
  await over(host, client)
  t.same(seen.events, [
    "1 asks openai-responses gpt-4.1-2025-04-14 true",
    "1 says Grü",
    "1 says ße, ",
    "1 says Welt 🌍",
    "1 said Grüße, Welt 🌍 completed",
    "1 response",
  ])
})

test("what follows an answer that was steered is a turn of its own, and what is said of the steering passes", async (t) => {
  const seen = watching()
  const { host, client, asked, say, take } = await connected(t, [seen.addon])
  client.socket.send(ask("a plan"))
  await until(() => asked.length === 1)
  const first = recorded("text", named("resp_1")).slice(0, 5)
  const successor = recorded("text", named("resp_2")).map((message) => {
    return message.replace('"previous_response_id":null', '"previous_response_id":"resp_1"')
  })
  const told = [...first, ACCEPTED, STEERED, ...successor]
  say(told)
  t.same(await take(told.length), told)
  await over(host, client)
  t.same(seen.events, [
    "1 asks openai-responses gpt-x true",
    "1 says Grü",
    "1 said Grü steered",
    "1 response",
    "2 asks openai-responses gpt-4.1-2025-04-14 true",
    "2 says Grü",
    "2 says ße, ",
    "2 says Welt 🌍",
    "2 said Grüße, Welt 🌍 completed",
    "2 response",
  ])
})

test("the answer to what was asked is no turn of the server's own, though it says twice that it begins", async (t) => {
  const seen = watching()
  const { host, client, asked, say, take } = await connected(t, [seen.addon])
  client.socket.send(ask("hi"))
  await until(() => asked.length === 1)
  const [created = "", ...rest] = recorded("text")
  say([created, created, ...rest])
  await take(rest.length + 2)
  await over(host, client)
  t.same(
    seen.events.filter((event) => / (asks|said|response)/.test(event)),
    ["1 asks openai-responses gpt-x true", "1 said Grüße, Welt 🌍 completed", "1 response"],
  )
})

test("in a lane of its own the server begins a turn while another lane's is asked for", async (t) => {
  const seen = watching()
  const { host, client, asked, say, take } = await connected(t, [seen.addon])
  client.socket.send(ask("hi", { stream_id: "s1" }))
  await until(() => asked.length === 1)
  const own = recorded("text", (message) => inLane("s2")(named("resp_2")(message)))
  const wanted = recorded("refusal", inLane("s1"))
  const mixed = own.flatMap((message, index) => [message, ...wanted.slice(index, index + 1)])
  say([...mixed, ...wanted.slice(own.length)])
  await take(own.length + wanted.length)
  await over(host, client)
  t.same(seen.events.filter((event) => event.includes("said")).sort(), [
    "1 said  completed",
    "2 said Grüße, Welt 🌍 completed",
  ])
})

test("an answer whose end could not be read does not take the next one's place", async (t) => {
  const seen = watching()
  const { host, client, asked, say, take } = await connected(t, [seen.addon], { settings: { bodyLimit: 8_000 } })
  client.socket.send(ask("first"))
  await until(() => asked.length === 1)
  const large = JSON.stringify({ type: "response.completed", response: { id: "resp_1", output: ["x".repeat(9_000)] } })
  const half = [...recorded("text", named("resp_1")).slice(0, 5), large]
  say(half)
  await take(half.length)
  client.socket.send(ask("second"))
  await until(() => asked.length === 2)
  const whole = recorded("text", named("resp_2"))
  say(whole)
  t.same(await take(whole.length), whole)
  await until(() => seen.events.includes("2 response"))
  t.ok(seen.events.includes("2 said Grüße, Welt 🌍 completed"), seen.events.join("\n"))
  await over(host, client)
})

test("an unasked answer is edited, and replaced, as any other", async (t) => {
  const change = addon("change", {
    responseHeaders(flow) {
      if (flow.turn?.number === 1)
        flow.response?.transformDeltas((delta) =>
          delta.type === "text" ? { ...delta, text: delta.text.toUpperCase() } : delta,
        )
    },
    llmRequest(flow) {
      if (flow.turn?.number === 2) flow.kill("no")
    },
  })
  const { host, client, say } = await connected(t, [change])
  say([...recorded("text"), ...recorded("text", named("resp_2"))])
  const got: string[] = []
  do got.push(String(await client.next()))
  while (!got.at(-1)?.includes('"killed"'))
  t.ok(got.some((message) => message.includes("WELT")))
  t.notOk(
    got.some((message) => /Welt|resp_2/.test(message)),
    "nothing of it passes unedited, or after the kill",
  )
  await over(host, client)
})

test("nothing begins for a client that has left, so that its connection ends", async (t) => {
  for (const path of [PATH, "/v1/realtime?model=m"]) {
    const asked: string[] = []
    const ends: string[] = []
    const slow = addon("slow", {
      llmRequest: (flow) => flow.pause(),
      error: (flow, { code }) => void ends.push(`${flow.turn?.number ?? "socket"} ${code}`),
      response: (flow) => void ends.push(`${flow.turn?.number ?? "socket"} response`),
    })
    const serve = (socket: WebSocket) =>
      socket.on("message", (data) => {
        asked.push(String(data))
        for (const message of recorded("text")) socket.send(message)
      })
    const host = await startSocketHost(t, { addons: [slow], serve })
    const client = await host.client({}, path)
    client.socket.send(ask("a"))
    client.socket.send('{"type":"waits.behind.it"}')
    await until(() => host.proxy.chain.flows === 2)
    client.socket.terminate()
    await host.proxy.settled()
    t.ok(ends.includes("1 client-gone"), path)
    t.notOk(
      ends.some((end) => end.startsWith("2")),
      path,
    )
  }
})

test("a Responses server that begins more turns by itself than may be is told to try again later (1013)", async (t) => {
  const seen = watching()
  const { client, host, say } = await connected(t, [seen.addon])
  const [created = ""] = recorded("text")
  say(Array.from({ length: TURNS_MAX + 1 }, (_, index) => named(`resp_${index}`)(created)))
  t.equal((await client.closed).code, 1013)
  await host.proxy.settled()
  t.equal(seen.events.filter((event) => event.includes("asks")).length, TURNS_MAX)
})

test("realtime: answers that run side by side are told apart by their ids", async (t) => {
  const seen = watching()
  const serve = (socket: WebSocket) => {
    const say = (event: object) => socket.send(JSON.stringify(event))
    const piece = (id: string, delta: string) =>
      say({ type: "response.output_text.delta", response_id: id, item_id: `i${id}`, output_index: 0, delta })
    for (const id of ["a", "b"]) say({ type: "response.created", response: { id, status: "in_progress" } })
    for (const id of ["a", "b", "a", "b"]) piece(id, id)
    for (const id of ["a", "b"]) say({ type: "response.done", response: { id, status: "completed", output: [] } })
  }
  const host = await startSocketHost(t, { addons: [seen.addon], serve })
  const client = await host.client({}, "/v1/realtime?model=m")
  for (let count = 0; count < 8; count++) await client.next()
  await over(host, client)
  t.same(
    seen.events.filter((event) => event.includes("said")),
    ["1 said aa completed", "2 said bb completed"],
  )
})
