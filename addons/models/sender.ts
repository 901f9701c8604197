/**
 * Sends a flow to the upstreams that were decided on, by `llmproxy/targets`: in their order or by weight, with their keys, to
 * the next one where one fails before its first word.
 */
import type { AddonContext, Flow } from "llmproxy"
import { dropClientsOwn, type Plan, QueueMetrics, type Target, TargetPool, withoutKeys } from "llmproxy/targets"
import { then } from "../shared/then.ts"
import { type Asked, withModelInPath } from "./asked.ts"
import { setModelInForm } from "./body.ts"
import type { Decision, Wanted } from "./decide.ts"
import { keyFields } from "./keys.ts"
import { urlAt } from "./place.ts"
import type { Way } from "./routes.ts"

/** Nothing is there, and never will be (RFC 6761 section 6.4); by TLS, so that nobody can pose as it. */
const NOWHERE = "https://llmproxy-models-refuses.invalid"

export interface Sent {
  /** The upstream's name. */
  readonly upstream: string
  readonly asked: Asked
}

export class Sender {
  readonly hooks: TargetPool["hooks"]
  readonly #pool: TargetPool
  readonly #sent = new WeakMap<Flow, Sent>()

  constructor(context: Pick<AddonContext, "state" | "clock" | "log" | "metrics">) {
    const queue = new QueueMetrics(context, "models")
    const attempts = context.metrics.counter({
      name: "models_attempts_total",
      help: "Requests to upstreams, by what became of them.",
      labels: ["upstream", "result"],
    })
    this.#pool = new TargetPool(context, {
      waits: ({ name }) => queue.begin(name),
      attempted: ({ result }, { name }) => attempts.add(1, { upstream: name, result }),
    })
    this.hooks = this.#pool.hooks
  }

  /** Where the flow was sent to, last; undefined: nowhere from here. */
  sentOf(flow: Flow): Sent | undefined {
    return this.#sent.get(flow)
  }

  /** Resolves when it is on its way, or answered; no promise is made where there is nothing to wait for. */
  send(flow: Flow, wanted: Wanted, decision: Decision): void | Promise<void> {
    const model = decision.ways[0]?.model
    if (wanted.names.kind !== "form" || model === undefined) return this.#take(flow, wanted, decision)
    // A form is written anew, and then has the model of one upstream alone.
    const ways = decision.ways.filter((way) => way.model === model)
    return setModelInForm(flow, model).then(() => this.#take(flow, wanted, { ...decision, ways }))
  }

  #take(flow: Flow, wanted: Wanted, decision: Decision): void | Promise<void> {
    return then(this.#pool.take(flow, plan(flow, wanted, decision)), (taken) => {
      if (taken.kind !== "refused") this.#sent.set(flow, { upstream: taken.target.name, asked: wanted.asked })
    })
  }

  /** Lets it go to the first of them by itself. */
  direct(flow: Flow, wanted: Wanted, { ways, why }: Decision): void {
    const [way] = ways
    if (way === undefined) return
    dropClientsOwn(flow.request)
    const target = targetOf(flow, way)
    if (flow.localOnly) flow.keepLocal("its upstream is local", [target.url])
    this.#sent.set(flow, { upstream: target.name, asked: wanted.asked })
    flow.route({ url: placeAt(wanted, way), name: target.name, reason: why, headers: target.headers })
  }

  /** Until it is refused. */
  hold(flow: Flow): void {
    dropClientsOwn(flow.request)
    flow.route({ url: NOWHERE })
  }
}

function plan(flow: Flow, wanted: Wanted, { ways, byWeight, why, model }: Decision): Plan {
  const urls = new Map<Target, string>(ways.map((way) => [targetOf(flow, way, model), placeAt(wanted, way)]))
  return {
    targets: [...urls.keys()],
    order: byWeight ? "weighted" : "listed",
    reason: why,
    urlFor: (target) => urls.get(target) ?? target.url,
  }
}

function targetOf(
  flow: Flow,
  { upstream, model, weight }: Way,
  asked?: string,
): Target & { readonly headers: Record<string, string> } {
  const { name, url, isLocal, concurrency, context } = upstream
  const there = model ?? asked
  return {
    name,
    url,
    isLocal,
    headers: keyFields(upstream, flow.request.headers),
    ...(there === undefined ? {} : { model: there }),
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(context === undefined ? {} : { context }),
    ...(weight === undefined ? {} : { weight }),
  }
}

/** The URL of the request there, with the model's name there where the path has it. */
function placeAt({ asked }: Wanted, way: Way): string {
  const path = withoutKeys(asked.path)
  const { model } = asked
  const named = way.model === undefined || model === undefined ? path : withModelInPath(path, model, way.model)
  return urlAt(way.upstream.url, named, asked.speech)
}
