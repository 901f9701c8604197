/** More turns than one connection may have: none of them ever passes the addons by. */
import { once } from "node:events"
import { test } from "tap"
import type { WebSocket } from "ws"
import type { LlmFlow } from "../../../lib/api/flow.ts"
import type { LoadedAddon } from "../../../lib/loader/chain.ts"
import { TURNS_MAX } from "../../../lib/proxy/websocket/turns.ts"
import { addon, until } from "../../helpers/hosts/proxy-host.ts"
import { rawPair, startSocketHost } from "../../helpers/hosts/websocket-host.ts"

const RESPONSES = "/v1/responses"

function ask(input: string): string {
  return JSON.stringify({ type: "response.create", model: "m", input })
}

const NO_TURN = JSON.stringify({ type: "session.update" })

function told(id: string): string {
  return JSON.stringify({ type: "response.completed", response: { id, model: "m", status: "completed", output: [] } })
}

/** Refuses what is bad, and insists on reading. */
function guard(seen: string[]): LoadedAddon {
  return addon(
    "guard",
    {
      llmRequest(flow: LlmFlow) {
        const { text } = flow.request
        seen.push(text)
        if (text.includes("bad")) flow.respond({ error: { code: "refused", message: "not this" } })
      },
    },
    { onError: "block" },
  )
}

/** Enough turns of the event loop for what is under way within this process. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

test("what a client asks beyond the limit waits for a turn to end, is read then, and so is what follows it", async (t) => {
  const asked: string[] = []
  const seen: string[] = []
  let server: WebSocket | undefined
  const serve = (socket: WebSocket) => {
    server = socket
    socket.on("message", (data) => asked.push(String(data)))
  }
  const host = await startSocketHost(t, { addons: [guard(seen)], serve })
  const client = await host.client({}, RESPONSES)
  const inputs = Array.from({ length: TURNS_MAX }, (_, index) => `${index}`)
  for (const input of [...inputs, "bad", "bad again", "good"]) client.socket.send(ask(input))
  client.socket.send(NO_TURN)
  await until(() => asked.length === TURNS_MAX)
  await turns()
  t.equal(seen.length, TURNS_MAX, "the others wait")
  t.strictSame(asked, inputs.map(ask))
  server?.send(told("first"))
  await until(() => asked.length === TURNS_MAX + 2)
  t.strictSame(asked.slice(TURNS_MAX), [ask("good"), NO_TURN])
  t.equal(seen.length, TURNS_MAX + 3, "every one of them was read")
  client.socket.close()
  await client.closed
  await host.proxy.settled()
})

test("what is no event passes no guard that insists on reading, and any other", async (t) => {
  const odd = [Buffer.from(ask("bad")), `[${ask("bad")}]`, ask("bad").replace("}", ',"x":NaN}'), "bad"]
  for (const message of odd) {
    for (const onError of ["block", "continue"] as const) {
      const asked: string[] = []
      const serve = (socket: WebSocket) => void socket.on("message", (data) => asked.push(String(data)))
      const reads = addon("reads", { llmRequest: () => {} }, { onError })
      const host = await startSocketHost(t, { addons: [reads], serve })
      const client = await host.client({}, RESPONSES)
      client.socket.send(message)
      if (onError === "continue") {
        await until(() => asked.length === 1)
        t.equal(asked[0], String(message))
        client.socket.close()
      }
      const { code } = await client.closed
      t.equal(code, onError === "block" ? 1007 : 1005, `${onError} ${message}`)
      t.equal(asked.length, onError === "block" ? 0 : 1)
      await host.proxy.settled()
    }
  }
})

test("what the server says that is no event passes no guard that insists on reading", async (t) => {
  const serve = (socket: WebSocket) => void socket.on("message", () => socket.send(Buffer.from("secret")))
  const reads = addon("reads", { llmResponse: () => {} }, { onError: "block" })
  const host = await startSocketHost(t, { addons: [reads], serve })
  const client = await host.client({}, RESPONSES)
  const got: string[] = []
  client.socket.on("message", (data) => got.push(String(data)))
  client.socket.send(ask("x"))
  t.equal((await client.closed).code, 1007)
  t.notMatch(got.join(), "secret")
  await host.proxy.settled()
})

test("what waits for a turn to end when the connection ends is never asked", async (t) => {
  for (const end of ["server", "client", "addon"]) {
    const asked: string[] = []
    const seen: string[] = []
    let close = () => {}
    const closes = addon("closes", {
      websocketStart(flow) {
        close = () => flow.websocket.close()
      },
    })
    const serve = (socket: WebSocket) => void socket.on("message", (data) => asked.push(String(data)))
    const host = await startSocketHost(t, { addons: [guard(seen), closes], serve })
    const client = await host.client({}, RESPONSES)
    for (let index = 0; index <= TURNS_MAX; index++) client.socket.send(ask(`${index}`))
    await until(() => asked.length === TURNS_MAX)
    await turns()
    if (end === "server") host.served[0]?.terminate()
    else if (end === "client") client.socket.terminate()
    else close()
    await client.closed
    await host.proxy.settled()
    t.equal(asked.length, TURNS_MAX, end)
    t.equal(seen.length, TURNS_MAX, end)
  }
})

test("a server that begins more turns by itself than may be is told to try again later (1013), as is its client", async (t) => {
  const begun: number[] = []
  const watch = addon("watch", { llmRequest: (flow) => void begun.push(flow.turn?.number ?? 0) })
  const host = await startSocketHost(t, { addons: [watch], serve: () => {} })
  const client = await host.client({}, "/v1/realtime?model=m")
  await until(() => host.served.length === 1)
  const [server] = host.served
  const closed = server === undefined ? undefined : once(server, "close")
  for (let index = 0; index <= TURNS_MAX; index++)
    server?.send(JSON.stringify({ type: "response.created", response: { id: `r${index}` } }))
  t.equal((await client.closed).code, 1013)
  t.equal((await closed)?.[0], 1013)
  await host.proxy.settled()
  t.equal(begun.length, TURNS_MAX)
})

test("a message that is too large for a guard of answers does not pass it by", async (t) => {
  for (const hook of ["llmResponse", "llmDelta", "responseHeaders", "llmRequest"] as const) {
    const large = JSON.stringify({ type: "response.output_text.delta", delta: "x".repeat(5_000) })
    const serve = (socket: WebSocket) => void socket.on("message", () => socket.send(large))
    const guards = addon("guards", { [hook]: () => {} }, { onError: "block" })
    const listens = addon("listens", { llmRequest: () => {} })
    const host = await startSocketHost(t, { addons: [guards, listens], serve, settings: { bodyLimit: 4_000 } })
    const client = await host.client({}, RESPONSES)
    client.socket.send(ask("hi"))
    t.equal((await client.closed).code, 1009, hook)
    await host.proxy.settled()
  }
})

test("a WebSocket with extensions that cannot be read is not opened where an addon insists on reading", async (t) => {
  const guards = addon("guards", { websocketMessage: () => {} }, { onError: "block" })
  const pair = rawPair(t, { addons: [guards] }, "Sec-WebSocket-Extensions: x-own\r\n")
  const { client, proxy } = await pair
  t.match(client.all, /^HTTP\/1\.1 502 /)
  t.match(client.all, /x-own/)
  await proxy.settled()
})
