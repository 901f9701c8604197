/** The metrics of `metrics`: names, units and labels. Those that begin with gen_ai are OpenTelemetry's, see shared/gen-ai.ts. */
import type { Metrics } from "llmproxy"
import { DURATION_BUCKETS } from "../shared/gen-ai.ts"

const LABELS = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"] as const

export type Declared = ReturnType<typeof declare>

/** To be called in `setup`. */
export function declare(metrics: Metrics) {
  const tokens = (kind: string, help: string) =>
    metrics.counter({ name: `gen_ai_client_inference_usage_${kind}_tokens_total`, help, labels: LABELS })
  return {
    requests: metrics.counter({
      name: "llmproxy_requests_total",
      help: "Clients' requests that are over, by the status of their answer (none: there was none).",
      labels: ["method", "status", "route"],
    }),
    attempts: metrics.counter({
      name: "llmproxy_attempts_total",
      help: "Requests that addons sent for a client's, by their route and what went wrong (empty: nothing).",
      labels: ["addon", "error_type"],
    }),
    failovers: metrics.counter({
      name: "llmproxy_failovers_total",
      help: "Targets that failed, so that another one was asked, or none was left.",
    }),
    upstream: metrics.histogram({
      name: "llmproxy_upstream_seconds",
      help: "From a request's last byte to the head of its answer.",
      buckets: DURATION_BUCKETS,
    }),
    duration: metrics.histogram({
      name: "gen_ai_client_inference_duration_seconds",
      help: "From the request's head to the end of a model's answer.",
      labels: [...LABELS, "error_type"],
      buckets: DURATION_BUCKETS,
    }),
    firstChunk: metrics.histogram({
      name: "gen_ai_client_inference_time_to_first_chunk_seconds",
      help: "From the request's head to the first piece of a streamed answer.",
      labels: LABELS,
      buckets: DURATION_BUCKETS,
    }),
    perChunk: metrics.histogram({
      name: "gen_ai_client_inference_time_per_output_chunk_seconds",
      help: "Between two pieces of a streamed answer.",
      labels: LABELS,
      buckets: DURATION_BUCKETS,
    }),
    inputTokens: tokens("input", "Tokens that models were sent, cached ones included."),
    outputTokens: tokens("output", "Tokens that models have answered, reasoning included."),
    cachedTokens: tokens("cache_read_input", "Of the input tokens, those that were read from a cache."),
    reasoningTokens: tokens("reasoning_output", "Of the output tokens, those of reasoning."),
    cost: metrics.counter({
      name: "llmproxy_cost_dollars_total",
      help: "What the answers cost by the price table, as of when they were asked for.",
      labels: LABELS,
    }),
    unpriced: metrics.counter({
      name: "llmproxy_unpriced_answers_total",
      help: "Answers of models that no price table has: their cost is not known.",
      labels: LABELS,
    }),
  }
}
