/**
 * The log and the flows as JSON, a line each, for those who collect logs (--log-format json): the log on stderr, a flow on
 * stdout once it is over. Secrets are blanked out as in the text.
 */
import type { AddonDefinition } from "../../api/addon.ts"
import type { Flow } from "../../api/flow.ts"
import type { Clock } from "../../base/clock.ts"
import { type Logger, type LogLevel, makeLogger } from "../../base/log.ts"
import type { Redactor } from "../../base/secrets/redactor.ts"
import type { Output } from "./output.ts"

/** `{"time":"2026-11-30T12:00:00.000Z","level":"warn","message":"..."}` */
export function jsonLogger(err: Output, clock: Clock, least: LogLevel, redactor?: Redactor): Logger {
  const write = (message: string, level: LogLevel) =>
    err.write(`${JSON.stringify({ time: timeOf(clock.now()), level, message })}\n`)
  return makeLogger(write, least, redactor)
}

/** What prints the flows. */
export function jsonFlows(out: Output, redactor: Redactor): AddonDefinition {
  const print = (flow: Flow) => void out.write(`${JSON.stringify(recordOf(flow, redactor))}\n`)
  return { name: "terminal", reads: "llm", response: print, error: print }
}

/** What is undefined is left out. Milliseconds, tokens, bytes. */
function recordOf(flow: Flow, redactor: Redactor): object {
  const { client, request, response, llm, routed, error, timings } = flow
  const text = (value: string | undefined) => (value === undefined ? undefined : redactor.text(value))
  const usage = llm?.completion?.usage
  return {
    time: timeOf(timings.start),
    level: error === undefined && (response?.status ?? 599) < 500 ? "info" : "warn",
    flow: flow.id,
    parent: flow.parent?.id,
    client: text(client.user ?? client.id),
    method: request.method,
    url: redactor.url(flow.original.url),
    status: response?.status,
    dialect: llm?.dialect,
    model: text(llm?.request.model),
    answeredModel: text(llm?.completion?.model),
    finishReason: llm?.completion?.finishReason.unified,
    route: text(routed?.name),
    reason: text(routed?.reason),
    routeUrl: routed?.url === undefined ? undefined : redactor.url(routed.url),
    inputTokens: usage?.inputTokens,
    outputTokens: usage?.outputTokens,
    cachedTokens: usage?.cachedTokens,
    error: error === undefined ? undefined : { code: error.code, message: redactor.text(error.message) },
    modelError:
      llm?.error === undefined ? undefined : { kind: llm.error.kind, message: redactor.text(llm.error.message) },
    firstDeltaMs: rounded(timings.firstDeltaMs),
    endMs: rounded(timings.endMs),
  }
}

function timeOf(epochMs: number): string {
  return new Date(epochMs).toISOString()
}

function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10
}
