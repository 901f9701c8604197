/**
 * Spans of what passes, by OTLP over HTTP as JSON (https://opentelemetry.io/docs/specs/otlp/#otlphttp), to any collector: one for each
 * flow that speaks with a model, its attempts below it, with the attributes of OpenTelemetry's GenAI conventions (shared/gen-ai.ts). What
 * was said is left out unless `otel.content` asks for it. The client's own `traceparent` (https://www.w3.org/TR/trace-context/) is where they hang.
 *
 * Nothing waits for a collector: spans wait in a bounded queue, and those that find it full are dropped and counted.
 */
import { type AddonContext, defineAddon, type Flow, UsageError } from "llmproxy"
import { Exporter } from "./otel/exporter.ts"
import { spanOf } from "./otel/span.ts"

export const OPTIONS = {
  endpoint: {
    type: "string",
    default: "http://127.0.0.1:4318",
    env: "OTEL_EXPORTER_OTLP_ENDPOINT",
    help: "The collector's base URL; spans go to /v1/traces below it.",
  },
  headers: {
    type: "string",
    default: "",
    env: "OTEL_EXPORTER_OTLP_HEADERS",
    secret: true,
    help: "Fields for the collector, as in api-key=...,x-team=a (percent-encoded).",
  },
  serviceName: {
    type: "string",
    default: "llmproxy",
    env: "OTEL_SERVICE_NAME",
    help: "The service that spans are of.",
  },
  content: {
    type: "boolean",
    default: false,
    help: "Send what was said, too: messages, answers, tools. Keys are blanked out.",
  },
  intervalMs: {
    type: "integer",
    default: 5_000,
    min: 10,
    help: "Milliseconds that a span waits for others, so that they go together.",
  },
} as const

export default defineAddon({
  name: "otel",
  options: OPTIONS,
  reads: "llm",
  setup(context) {
    const { options, redactor } = context
    const exporter = new Exporter(context, () => settingsOf(options))
    const ended = (flow: Flow) => {
      if (flow.llm === undefined) return
      exporter.add(spanOf(flow, flow.llm, options.content ? redactor : undefined))
    }
    return { configure: () => void settingsOf(options), response: ended, error: ended, done: () => exporter.finish() }
  },
})

/** Throws a UsageError. */
function settingsOf({ endpoint, headers, serviceName }: AddonContext<typeof OPTIONS>["options"]) {
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol))
    throw new UsageError(`otel.endpoint ${endpoint}: must be an http or https URL, as in http://127.0.0.1:4318`)
  const fields = headers
    .split(",")
    .filter((pair) => pair.trim() !== "")
    .map((pair): [string, string] => {
      const equals = pair.indexOf("=")
      if (equals < 1) throw new UsageError("otel.headers: write NAME=VALUE, with commas between")
      return [pair.slice(0, equals).trim(), percentDecoded(pair.slice(equals + 1).trim())]
    })
  return { url: `${endpoint.replace(/\/+$/, "")}/v1/traces`, fields, serviceName }
}

function percentDecoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value // a lone %
  }
}
