/**
 * OpenAI's own clients over WebSocket, Responses and Realtime, through the whole program: what they read, and the line
 * that each turn prints.
 */
import { once } from "node:events"
import { readFile } from "node:fs/promises"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { OpenAI } from "openai"
import { OpenAIRealtimeWS } from "openai/realtime/ws"
import { ResponsesWS } from "openai/resources/responses/ws"
import { type Test, test } from "tap"
import { type WebSocket, WebSocketServer } from "ws"
import type { AddonDefinition } from "../../lib/api/addon.ts"
import { App } from "../../lib/app.ts"
import { makeLogger } from "../../lib/base/log.ts"
import { PLAIN } from "../../lib/cli/terminal/paint.ts"
import { makeTerminal } from "../../lib/cli/terminal/terminal.ts"
import { NO_SOURCES } from "../../lib/options/sources.ts"
import { KeptOutput } from "../helpers/world.ts"

/** The program with its terminal output, in front of a WebSocket server. */
async function program(t: Test, serve: (socket: WebSocket) => void, addons: AddonDefinition[] = []) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: { threshold: 0 } })
  server.on("connection", serve)
  await once(server, "listening")
  const confdir = join(t.testdir(), "confdir")
  const out = new KeptOutput(undefined)
  const { addon: terminal } = makeTerminal({ out, paint: PLAIN, detail: 1 })
  const app = new App({
    sources: {
      ...NO_SOURCES,
      set: ["port=0", `baseUpstream=http://127.0.0.1:${(server.address() as AddressInfo).port}`],
    },
    scripts: [],
    places: { folders: [], shipped: undefined },
    confdir,
    log: makeLogger(() => {}),
    builtin: terminal === undefined ? addons : [...addons, terminal],
    watch: false,
  })
  const { port } = await app.start()
  const ca = await readFile(join(confdir, "llmproxy-ca-cert.pem"))
  t.teardown(() => server.close())
  const client = new OpenAI({ apiKey: "sk-test", baseURL: `http://127.0.0.1:${port}/v1` })
  const printed = async () => {
    await app.stop()
    const text = out.text.replace(/^\d\d:\d\d:\d\d [0-9a-f]{8} {2}/gm, "")
    return text.replace(/127\.0\.0\.1:\d+/g, "HOST").replace(/(first )?\b[\d.]+ m?s\b/g, "TIME")
  }
  return { client, ca, printed }
}

test("Responses: two turns on one connection, each a line, a refused one an error that the client reads", async (t) => {
  const serve = (socket: WebSocket) =>
    socket.on("message", (data) => {
      const { model } = JSON.parse(String(data)) as { model: string }
      const response = { id: "resp_1", object: "response", model, output: [], status: "in_progress" }
      const usage = { input_tokens: 12, output_tokens: 3, total_tokens: 15 }
      const at = { item_id: "msg_1", output_index: 0, content_index: 0 }
      for (const event of [
        { type: "response.created", response },
        { type: "response.output_text.delta", ...at, delta: "Hello" },
        { type: "response.completed", response: { ...response, status: "completed", usage } },
      ])
        socket.send(JSON.stringify(event))
    })
  const refuse: AddonDefinition = {
    name: "refuse",
    llmRequest(flow) {
      if (flow.llm.request.model === "too-dear") flow.respond({ status: 429, text: "budget spent" })
    },
  }
  const { client, printed } = await program(t, serve, [refuse])
  const socket = new ResponsesWS(client)
  const texts: string[] = []
  const errors: string[] = []
  socket.on("response.output_text.delta", ({ delta }) => texts.push(delta))
  socket.on("error", ({ message, error }) => errors.push(String(error?.message ?? message)))
  for (const model of ["gpt-one", "too-dear", "gpt-two"]) {
    const over = new Promise<void>((resolve) => {
      socket.once("response.completed", () => resolve())
      socket.once("error", () => resolve())
    })
    socket.send({ type: "response.create", model, input: "Hi" })
    await over
  }
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  socket.close()
  await closed
  t.same(texts, ["Hello", "Hello"])
  t.match(errors[0], /budget spent/)
  t.same((await printed()).split("\n").sort(), [
    "",
    "GET HOST/v1/responses  101  TIME",
    "POST HOST/v1/responses  gpt-one  in 12  out 3  200  TIME  TIME",
    "POST HOST/v1/responses  gpt-two  in 12  out 3  200  TIME  TIME",
    "POST HOST/v1/responses  too-dear  429 rate_limit: budget spent  TIME",
  ])
})

test("Realtime: a spoken answer is a line with its tokens", async (t) => {
  const serve = (socket: WebSocket) => {
    socket.send(JSON.stringify({ type: "session.created", event_id: "e", session: { type: "realtime" } }))
    socket.on("message", () => {
      const at = { event_id: "e", response_id: "r", item_id: "i", output_index: 0, content_index: 0 }
      const usage = { total_tokens: 9, input_tokens: 4, output_tokens: 5 }
      for (const event of [
        { type: "response.created", response: { id: "r", status: "in_progress" } },
        { type: "response.output_audio.delta", ...at, delta: "AAAA" },
        { type: "response.output_audio_transcript.delta", ...at, delta: "Hello" },
        { type: "response.done", response: { id: "r", status: "completed", output: [], usage } },
      ])
        socket.send(JSON.stringify(event))
    })
  }
  const { client, ca, printed } = await program(t, serve)
  const socket = new OpenAIRealtimeWS({ model: "gpt-realtime", options: { ca } }, client) // Always wss.
  const texts: string[] = []
  socket.on("error", () => {})
  socket.on("response.output_audio_transcript.delta", ({ delta }) => texts.push(delta))
  const over = new Promise<void>((resolve) => socket.on("response.done", () => resolve()))
  socket.on("session.created", () => socket.send({ type: "response.create" }))
  await over
  socket.close()
  await once(socket.socket, "close")
  t.same(texts, ["Hello"])
  t.match(await printed(), /^POST HOST\/v1\/realtime {2}gpt-realtime {2}in 4 {2}out 5 {2}200 {2}TIME {2}TIME\n/)
})
