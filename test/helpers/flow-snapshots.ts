/** Snapshots of flows for tests of what is kept: a chat that went well, with whatever a test changes. */
import type { Completion, FlowSnapshot, JsonValue } from "../../lib/api/flow.ts"
import { uuidv7 } from "../../lib/base/uuid.ts"
import { completionOf } from "../../lib/llm/assemble.ts"

export interface ChatOptions {
  readonly start?: number
  readonly messages?: JsonValue[]
  readonly answer?: string
  readonly model?: string
  readonly route?: string
  readonly body?: Record<string, JsonValue>
  readonly usage?: Partial<Completion["usage"]>
}

/** 2026-01-01T00:00:00Z */
export const START = 1_767_225_600_000

let count = 0

export function completion(text: string, usage: Partial<Completion["usage"]> = {}): Completion {
  return completionOf({
    id: "chatcmpl-1",
    model: "gpt-4o-2024-08-06",
    choices: [
      { index: 0, text, reasoning: "", refusal: "", toolCalls: [], finishReason: { unified: "stop", raw: "stop" } },
    ],
    usage: {
      inputTokens: 10,
      outputTokens: 5,
      totalTokens: 15,
      cachedTokens: undefined,
      reasoningTokens: undefined,
      source: "provider",
      ...usage,
    },
    streamed: true,
  })
}

export function chat(options: ChatOptions = {}, more: Partial<FlowSnapshot> = {}): FlowSnapshot {
  const { start = START + count++ * 1_000, model = "gpt-4o", route } = options
  const messages = options.messages ?? [{ role: "user", content: "Say hello." }]
  const body = JSON.stringify({ model, messages, stream: true, ...options.body })
  return {
    id: uuidv7(start),
    parentId: undefined,
    client: {
      id: "127.0.0.1",
      user: undefined,
      label: undefined,
      claims: undefined,
      address: "127.0.0.1",
      port: 50_000,
      tls: undefined,
    },
    server: undefined,
    request: {
      method: "POST",
      url: "https://api.openai.com/v1/chat/completions",
      version: "1.1",
      headers: [
        ["Host", "api.openai.com"],
        ["Content-Type", "application/json"],
      ],
      body,
    },
    response: { status: 200, headers: [["Content-Type", "text/event-stream"]], body: undefined, truncated: false },
    llm: {
      dialect: "openai-chat",
      model,
      completion: completion(options.answer ?? "Hello!", options.usage),
      error: undefined,
    },
    routed: route === undefined ? undefined : { name: route, reason: "fits", tokens: 12, url: undefined },
    error: undefined,
    timings: { start, requestMs: 1, responseHeadMs: 20, firstDeltaMs: 25, endMs: 40 },
    bytes: { request: body.length, response: 100 },
    metadata: {},
    ...more,
  }
}
