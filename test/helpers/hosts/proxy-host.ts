/**
 * A proxy for tests of the exchange: real sockets, any number of addons, a recorder that writes down the hooks in the
 * order in which they fire, and short ways to write requests and answers of the OpenAI dialects.
 */
import type { Test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import { HOOK_NAMES, type Hooks } from "../../../lib/api/hooks.ts"
import { type Clock, systemClock } from "../../../lib/base/clock.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { HookChain, type LoadedAddon } from "../../../lib/loader/chain.ts"
import { ProxyServer } from "../../../lib/proxy/session/server.ts"
import { DEFAULT_SETTINGS, type ProxySettings } from "../../../lib/proxy/settings.ts"
import type { Lookup } from "../../../lib/proxy/upstream/dial.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { type ReplyScript, ScriptedOrigin } from "../../../lib/testing/origin.ts"
import { sharedCertificates } from "../test-proxy.ts"
import { Wire } from "../wire/wire.ts"

export interface ProxyHostOptions {
  settings?: Partial<ProxySettings>
  addons?: readonly LoadedAddon[]
  /** Default: one that is turned by hand. */
  runOn?: Clock
  /** Resolves names. */
  lookup?: Lookup
}

export interface ProxyHost {
  readonly server: ProxyServer
  readonly port: number
  readonly clock: ManualClock
  readonly chain: HookChain
  /** `level message`. */
  readonly lines: string[]
  connect(): Promise<Wire>
  /** Resolves when every flow has run its last hook. */
  settled(): Promise<void>
}

export async function startHost(t: Test, options: ProxyHostOptions = {}): Promise<ProxyHost> {
  const clock = new ManualClock(Date.now())
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`), "debug")
  const certificates = await sharedCertificates()
  const runOn = options.runOn ?? clock
  const chain = new HookChain(options.addons ?? [], { clock: runOn, budgetMs: 5_000, log })
  const server = new ProxyServer({
    settings: { ...DEFAULT_SETTINGS, upstreamCa: [certificates.ca], ...options.settings },
    clock: runOn,
    log,
    chain: () => chain,
    leaf: (name) => certificates.contextFor(name),
    ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
  })
  const { port } = await server.listen("127.0.0.1", 0)
  t.teardown(() => server.stop(0))
  const connect = async () => {
    const wire = await Wire.connect(port)
    t.teardown(() => wire.socket.destroy())
    return wire
  }
  const settled = () => until(() => chain.flows === 0)
  return { server, port, clock, chain, lines, connect, settled }
}

/** An origin on a free port; over TLS when it is given a name. */
export async function origin(t: Test, reply: ReplyScript, name?: string): Promise<ScriptedOrigin> {
  const tls = name === undefined ? undefined : (await sharedCertificates()).chainFor(name)
  const made = await ScriptedOrigin.start(reply, tls)
  t.teardown(() => made.close())
  return made
}

export { systemClock }

export function addon(name: string, hooks: Partial<Hooks>, more: Partial<LoadedAddon> = {}): LoadedAddon {
  return { name, onError: "continue", reads: undefined, hold: false, hooks, file: undefined, ...more }
}

export interface Recorder {
  readonly events: string[]
  /** The flow that was seen last. */
  flow(): Flow
  readonly addon: LoadedAddon
  /** Resolves when `event` is among the events. */
  saw(event: string): Promise<void>
}

const FLOW_HOOKS = HOOK_NAMES.slice(HOOK_NAMES.indexOf("requestHeaders"), HOOK_NAMES.indexOf("error") + 1)

/** Writes down every flow hook; `hooks` chooses some, `also` are addons' own deeds. */
export function recorder(hooks: readonly string[] = FLOW_HOOKS, name = "recorder"): Recorder {
  const events: string[] = []
  let last: Flow | undefined
  const entries = hooks.map((hook) => [
    hook,
    (...args: unknown[]) => {
      if (hook !== "serverConnect" && hook !== "serverConnected") last = args[0] as Flow
      events.push(hook === "llmDelta" ? `llmDelta ${shown(args[1])}` : hook)
    },
  ])
  return {
    events,
    addon: addon(name, Object.fromEntries(entries)),
    flow() {
      if (last === undefined) throw new Error("no flow was seen")
      return last
    },
    saw: (event) => until(() => events.includes(event)),
  }
}

function shown(delta: unknown): string {
  const { type, text } = delta as { type: string; text?: string }
  return text === undefined ? type : text
}

/** Resolves when `condition` holds, looked at after each turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

/** A promise and what resolves it. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** A request in absolute form, as a client sends it to a proxy. */
export function request(method: string, port: number, path: string, body: string | Buffer = "", fields = ""): string {
  const text = typeof body === "string" ? Buffer.from(body).toString("latin1") : body.toString("latin1")
  const length = method === "GET" ? "" : `Content-Length: ${text.length}\r\n`
  return `${method} http://127.0.0.1:${port}${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${fields}${length}\r\n${text}`
}

export const CHAT = "/v1/chat/completions"
export const COMPLETIONS = "/v1/completions"

/** A chat request. */
export function chat(port: number, more: object = {}, fields = ""): string {
  const json = { model: "m", messages: [{ role: "user", content: "hi" }], ...more }
  return request("POST", port, CHAT, JSON.stringify(json), `Content-Type: application/json\r\n${fields}`)
}

/** A response with its length. */
export function answer(body: string | Buffer, fields = "", status = "200 OK"): Buffer {
  const bytes = Buffer.from(body)
  return Buffer.concat([
    Buffer.from(`HTTP/1.1 ${status}\r\n${fields}Content-Length: ${bytes.length}\r\n\r\n`, "latin1"),
    bytes,
  ])
}

export function jsonAnswer(json: object, status = "200 OK", fields = ""): Buffer {
  return answer(JSON.stringify(json), `Content-Type: application/json\r\n${fields}`, status)
}

/** A chat completion as JSON. */
export function chatJson(content: string, more: object = {}): object {
  return {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 7,
    model: "up",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    ...more,
  }
}

export const SSE_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
export const DONE = "data: [DONE]\n\n"

/** One chat chunk with a text. */
export function chatEvent(content: string, more: object = {}): string {
  const choices = [{ index: 0, delta: { content }, finish_reason: null }]
  return `data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", created: 7, model: "up", choices, ...more })}\n\n`
}

export const FINISH = `data: ${JSON.stringify({
  id: "c1",
  object: "chat.completion.chunk",
  created: 7,
  model: "up",
  choices: [{ index: 0, delta: {}, finish_reason: "stop" }],
})}\n\n`

/** One completions chunk with a text. */
export function textEvent(text: string, finish: string | null = null): string {
  const choices = [{ index: 0, text, finish_reason: finish }]
  return `data: ${JSON.stringify({ id: "t1", object: "text_completion", created: 7, model: "up", choices })}\n\n`
}

/** One chunk of the chunked coding. */
export function chunk(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")])
}

export const LAST = "0\r\n\r\n"

/** A whole SSE answer, one chunk an event. */
export function sseAnswer(...events: string[]): Buffer {
  return Buffer.concat([Buffer.from(SSE_HEAD), ...events.map(chunk), Buffer.from(LAST)])
}

/** The JSON of each event in an SSE text. */
export function eventsOf(text: string): unknown[] {
  return text
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event): unknown => JSON.parse(event.slice(6)))
}
