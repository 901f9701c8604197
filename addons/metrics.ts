/**
 * `GET /metrics`: what passes in numbers, in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/), for who
 * runs the proxy: by the admin token, or from this machine. Durations and tokens of models have the names of OpenTelemetry's GenAI
 * conventions (shared/gen-ai.ts) with underscores; what addons count beside them stands there under the names that they gave.
 *
 * A client's flow is counted once, with all that was spent for it; what addons sent for it is counted as attempts.
 */
import { type AddonContext, defineAddon, type Flow, type LlmFlow, openPrices, type Prices } from "llmproxy"
import { createRoute, makeApi, serveApi, z } from "llmproxy/openapi"
import { attemptsOf } from "llmproxy/targets"
import { type Declared, declare } from "./metrics/declared.ts"
import { CONTENT_TYPE, exposition } from "./metrics/exposition.ts"
import { processMetrics } from "./metrics/process.ts"
import { errorTypeOf, operationOf, providerOf } from "./shared/gen-ai.ts"

const OPTIONS = {
  pricesFile: {
    type: "string",
    default: "",
    env: "LLMPROXY_KEYS_PRICES_FILE",
    help: "A price file of your own, which counts before the table that llmproxy brings; as keys.pricesFile.",
  },
} as const

const METRICS = createRoute({
  method: "get",
  path: "/metrics",
  tags: ["metrics"],
  summary: "What passes, in numbers",
  description: "For who runs the proxy: by the admin token or an admin's key, or from this machine.",
  responses: {
    200: { description: "Prometheus' text format.", content: { "text/plain": { schema: z.string() } } },
    401: { description: "Somebody else." },
  },
})

export default defineAddon({
  name: "metrics",
  options: OPTIONS,
  reads: "llm",
  setup(context) {
    const { serve, metrics, state } = context
    const counts = new Counts(context, declare(metrics))
    const api = makeApi()
    api.openapi(METRICS, async () => {
      const text = exposition(metrics.all()) + (await processMetrics(state))
      return new Response(text, { headers: { "Content-Type": CONTENT_TYPE } })
    })
    serveApi(serve, api, () => "admin")
    return {
      load: () => counts.open(),
      llmDelta: (flow) => counts.piece(flow),
      response: (flow) => counts.ended(flow),
      error: (flow) => counts.ended(flow),
    }
  },
})

class Counts {
  readonly #context: AddonContext<typeof OPTIONS>
  readonly #declared: Declared
  /** Monotonic milliseconds of the latest piece of a stream. */
  readonly #latest = new WeakMap<Flow, number>()
  #prices: Prices | undefined

  constructor(context: AddonContext<typeof OPTIONS>, declared: Declared) {
    this.#context = context
    this.#declared = declared
  }

  async open(): Promise<void> {
    const { pricesFile } = this.#context.options
    this.#prices = await openPrices(pricesFile === "" ? undefined : pricesFile)
  }

  /** Of streams: the time since the piece before. */
  piece(flow: LlmFlow): void {
    if (flow.parent !== undefined || !flow.llm.request.stream) return
    const now = this.#context.clock.monotonic()
    const before = this.#latest.get(flow)
    this.#latest.set(flow, now)
    if (before !== undefined) this.#declared.perChunk.observe((now - before) / 1_000, labelsOf(flow))
  }

  ended(flow: Flow): void {
    const declared = this.#declared
    const { parent, response, routed, timings, llm } = flow
    if (parent !== undefined) {
      declared.attempts.add(1, { addon: addonOf(flow), error_type: errorTypeOf(flow) ?? "" })
      return
    }
    const status = response === undefined ? "none" : String(response.status)
    declared.requests.add(1, { method: flow.request.method, status, route: routed?.name ?? "direct" })
    const failovers = attemptsOf(flow).filter(({ result }) => result === "failed").length
    if (failovers > 0) declared.failovers.add(failovers)
    const { requestMs = 0, responseHeadMs, firstDeltaMs, endMs } = timings
    if (responseHeadMs !== undefined) declared.upstream.observe((responseHeadMs - requestMs) / 1_000)
    if (llm === undefined) return
    const labels = labelsOf({ ...flowParts(flow), llm })
    const error = errorTypeOf(flow)
    if (endMs !== undefined) declared.duration.observe(endMs / 1_000, { ...labels, error_type: error ?? "" })
    if (firstDeltaMs !== undefined && llm.request.stream) declared.firstChunk.observe(firstDeltaMs / 1_000, labels)
    this.#spent({ ...flowParts(flow), llm })
  }

  #spent(flow: Pick<LlmFlow, "llm" | "server" | "timings">): void {
    const { llm, server, timings } = flow
    const labels = labelsOf(flow)
    const usage = llm.completion?.usage
    const declared = this.#declared
    declared.inputTokens.add(usage?.inputTokens ?? 0, labels)
    declared.outputTokens.add(usage?.outputTokens ?? 0, labels)
    declared.cachedTokens.add(usage?.cachedTokens ?? 0, labels)
    declared.reasoningTokens.add(usage?.reasoningTokens ?? 0, labels)
    if (usage === undefined || usage.source === "none") return
    const model = llm.completion?.model ?? llm.request.model
    const price = this.#prices?.of({ host: server?.host, model, usage, at: timings.start })
    if (price === undefined) declared.unpriced.add(1, labels)
    else declared.cost.add(price.microDollars / 1_000_000, labels)
  }
}

function flowParts({ server, timings }: Flow): Pick<Flow, "server" | "timings"> {
  return { server, timings }
}

function labelsOf(flow: Pick<LlmFlow, "llm" | "server">): {
  gen_ai_operation_name: string
  gen_ai_provider_name: string
  gen_ai_request_model: string
} {
  return {
    gen_ai_operation_name: operationOf(flow),
    gen_ai_provider_name: providerOf(flow),
    gen_ai_request_model: flow.llm.request.model,
  }
}

/** Which addon has sent it: its route's name is the nearest that is known of that. */
function addonOf({ routed }: Flow): string {
  return routed?.name ?? "other"
}
