/** Flows that have ended in a given way, for what is printed of them: real flow objects, filled in by hand. */

import type { Completion, Flow } from "../../lib/api/flow.ts"
import type { FlowError } from "../../lib/base/errors.ts"
import { Headers } from "../../lib/base/headers.ts"
import type { JsonObject } from "../../lib/base/json.ts"
import { NO_USAGE } from "../../lib/llm/model.ts"
import { llmFlow, testFlow } from "../../lib/testing/flows.ts"

export interface Ending {
  status?: number
  reason?: string
  headers?: [string, string][]
  body?: string
  completion?: Completion
  llmError?: { kind: string; message: string }
  error?: FlowError
  routed?: { name?: string; reason?: string; tokens?: number }
  timings?: { firstDeltaMs?: number; endMs?: number }
  parent?: Flow
  unparsed?: string
}

export async function endedFlow(options: { url?: string; method?: string; json?: JsonObject }, ending: Ending) {
  const { flow } =
    options.json === undefined ? await testFlow(options) : await llmFlow({ ...options, json: options.json })
  return end(flow, ending)
}

export async function endedChat(json: JsonObject, ending: Ending) {
  const { flow } = await llmFlow({ json })
  return end(flow, ending)
}

function end<F extends Flow>(flow: F, ending: Ending): F {
  const {
    status,
    reason = "OK",
    headers = [],
    body = "",
    completion,
    llmError,
    error,
    routed,
    parent,
    unparsed,
  } = ending
  if (status !== undefined) {
    const response = { status, reason, headers: new Headers(headers), bytes: Buffer.from(body), text: body }
    Object.assign(flow, { response })
  }
  if (flow.llm !== undefined) Object.assign(flow.llm, { completion, error: llmError })
  Object.assign(flow.timings, ending.timings)
  // Some of them are told by what the flow is made of.
  for (const [name, value] of Object.entries({ error, routed, parent, unparsed }))
    Object.defineProperty(flow, name, { value, configurable: true, enumerable: true, writable: true })
  return flow
}

export function completionOf(text: string, more: Partial<Completion> = {}): Completion {
  return {
    id: "1",
    model: "gpt-4o",
    created: 1,
    choices: [],
    text,
    reasoning: "",
    refusal: "",
    toolCalls: [],
    finishReason: { unified: "stop", raw: "stop" },
    usage: { ...NO_USAGE },
    streamed: true,
    timings: { firstDeltaMs: undefined, totalMs: undefined },
    ...more,
  }
}

export const CHAT: JsonObject = { model: "gpt-4o", messages: [{ role: "user", content: "Hi" }] }
