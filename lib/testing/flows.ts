/**
 * Flows for tests of addons, without a socket: the real flow object over a client in memory. A hook is called with it,
 * then the test looks at what the hook did. `send` is whatever the test says.
 */

import type { Answer, Flow, LlmFlow, Reply, SendOptions, SendRequest } from "../api/flow.ts"
import { Headers, type HeadersInit } from "../base/headers.ts"
import type { JsonObject } from "../base/json.ts"
import { makeLogger } from "../base/log.ts"
import { Redactor } from "../base/secrets/redactor.ts"
import { HookChain } from "../loader/chain.ts"
import { Drains } from "../proxy/body/drains.ts"
import { MemoryBudget } from "../proxy/body/memory.ts"
import { dialectFor, readLlmRequest } from "../proxy/body/observe.ts"
import { InnerClient } from "../proxy/child/inner-client.ts"
import type { ExchangeCore } from "../proxy/flow/core.ts"
import { FlowState } from "../proxy/flow/state.ts"
import { defaultPort } from "../proxy/io/authority.ts"
import { ClientConnection } from "../proxy/session/client-connection.ts"
import { DEFAULT_SETTINGS } from "../proxy/settings.ts"
import { Upstream } from "../proxy/upstream/pool.ts"
import { ManualClock } from "./manual-clock.ts"

export interface TestFlowOptions {
  /** Default: POST with a body, else GET. */
  method?: string
  /** Default: https://api.openai.com/v1/chat/completions. */
  url?: string
  headers?: HeadersInit
  text?: string
  json?: JsonObject
  /** What `flow.send` does. Default: it rejects. */
  send?: (request: SendRequest, options: SendOptions) => Promise<Answer>
  clock?: ManualClock
}

export interface TestFlow<F extends Flow> {
  readonly flow: F
  /** What a hook has answered with `flow.respond(reply)`. */
  replied(): Reply | undefined
}

/** A flow with its body collected, in its request phase. */
export async function testFlow(options: TestFlowOptions = {}): Promise<TestFlow<Flow>> {
  const { state } = await makeFlow(options)
  return { flow: state, replied: () => replyOf(state) }
}

/** The same for a body in a dialect. Throws when the body is none. */
export async function llmFlow(options: TestFlowOptions): Promise<TestFlow<LlmFlow>> {
  const { state, path } = await makeFlow(options)
  const dialect = dialectFor(state.request.method, path)
  if (dialect === undefined) throw new Error(`llmFlow: no dialect has the path ${path}`)
  const llm = readLlmRequest(dialect, state.request.bytes, path)
  if (typeof llm === "string") throw new Error(`llmFlow: ${llm}`)
  state.llm = llm
  return { flow: state as FlowState & { llm: typeof llm }, replied: () => replyOf(state) }
}

function replyOf(state: FlowState): Reply | undefined {
  return state.replied?.kind === "reply" ? state.replied.reply : undefined
}

async function makeFlow(options: TestFlowOptions): Promise<{ state: FlowState; path: string }> {
  const url = new URL(options.url ?? "https://api.openai.com/v1/chat/completions")
  const body = options.json === undefined ? (options.text ?? "") : JSON.stringify(options.json)
  const headers = new Headers(options.headers)
  if (!headers.has("host")) headers.set("Host", url.host)
  if (options.json !== undefined && !headers.has("content-type")) headers.set("Content-Type", "application/json")
  const scheme = url.protocol === "http:" ? "http" : "https"
  const path = `${url.pathname}${url.search}`
  const head = {
    method: options.method ?? (body === "" ? "GET" : "POST"),
    scheme,
    host: url.hostname,
    port: Number(url.port || defaultPort(scheme)),
    path,
    headers,
    version: "HTTP/1.1",
    upgrade: undefined,
  } as const
  const client = new InnerClient(
    new ClientConnection({ remoteAddress: "127.0.0.1", remotePort: 50_000 }),
    head,
    Buffer.from(body),
  )
  const clock = options.clock ?? new ManualClock()
  const chain = new HookChain([], { clock, budgetMs: 5_000 })
  const state = new FlowState(coreFor(clock, options), client, chain)
  await state.request.collect()
  return { state, path }
}

function coreFor(clock: ManualClock, options: TestFlowOptions): ExchangeCore {
  const nothing = { connecting: (target: never) => target, connected: () => {}, disconnected: () => {} }
  return {
    upstream: new Upstream(DEFAULT_SETTINGS, clock, nothing),
    settings: DEFAULT_SETTINGS,
    clock,
    log: makeLogger(() => {}),
    memory: new MemoryBudget(DEFAULT_SETTINGS.memoryLimit),
    drains: new Drains(),
    redactor: new Redactor(),
    identify: (connection) => connection.address,
    send: (_parent, request, sendOptions) =>
      options.send?.(request, sendOptions) ?? Promise.reject(new Error("flow.send: this test flow has no `send`")),
    upgrade: () => Promise.reject(new Error("a test flow has no connection")),
  }
}
