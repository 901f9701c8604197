/**
 * Sends spans to the collector, a batch at a time: what passes (nobody answers, 429, 502, 503, 504: the OTLP specification's list) is tried again
 * with waits that double, what does not is dropped and said. It is no traffic of the proxy's: no addon sees it.
 */
import type { AddonContext, Counter, OptionSpecs, Timer } from "llmproxy"
import type { Span } from "./span.ts"

/** Spans that wait. Beyond it the newest are dropped. */
const QUEUE_MAX = 4_096
/** Spans of one request. */
const BATCH_MAX = 512
/** Tries of a batch. */
const TRIES_MAX = 5
/** Milliseconds before the second try; doubled for each further one. */
const RETRY_MS = 1_000
/** Milliseconds that the collector has for an answer. */
const ANSWER_MS_MAX = 10_000
/** Milliseconds that the end of the program waits for what is not sent. */
const FINISH_MS_MAX = 2_000
/** https://opentelemetry.io/docs/specs/otlp/#failures-1 */
const PASSING: ReadonlySet<number> = new Set([429, 502, 503, 504])

interface Settings {
  readonly url: string
  readonly fields: readonly (readonly [string, string])[]
  readonly serviceName: string
}

type Context = Pick<AddonContext<OptionSpecs>, "clock" | "log" | "metrics"> & {
  readonly options: { readonly intervalMs: number }
}

export class Exporter {
  readonly #context: Context
  readonly #settings: () => Settings
  readonly #spans: Counter<"sent">
  #queue: Span[] = []
  #timer: Timer | undefined
  #sending: Promise<void> | undefined
  #isEnding = false
  #hasFailed = false

  constructor(context: Context, settings: () => Settings) {
    this.#context = context
    this.#settings = settings
    this.#spans = context.metrics.counter({
      name: "llmproxy_otel_spans_total",
      help: "Spans, and whether the collector has taken them or they had to be dropped.",
      labels: ["sent"],
    })
  }

  add(span: Span): void {
    if (this.#queue.length >= QUEUE_MAX) {
      this.#dropped(1, `${QUEUE_MAX} spans wait for the collector`)
      return
    }
    this.#queue.push(span)
    if (this.#queue.length >= BATCH_MAX) this.#send()
    else this.#timer ??= this.#context.clock.after(this.#context.options.intervalMs, () => this.#send())
  }

  /** Sends what waits, and waits for it for a while. */
  async finish(): Promise<void> {
    this.#isEnding = true
    this.#send()
    let cancel = () => {}
    const late = new Promise<void>((resolve) => {
      cancel = this.#context.clock.after(FINISH_MS_MAX, resolve).cancel
    })
    await Promise.race([this.#sending, late])
    cancel()
    this.#dropped(this.#queue.splice(0).length, "the program ends")
  }

  #send(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined
    })
  }

  async #sendAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, BATCH_MAX)
      const why = await this.#tried(batch)
      if (why === undefined) this.#took(batch.length)
      else this.#dropped(batch.length, why)
    }
  }

  /** Undefined: it is there. Else why it will not be. */
  async #tried(batch: readonly Span[]): Promise<string | undefined> {
    for (let tries = 1; ; tries++) {
      const { passes, why } = await this.#asked(batch)
      if (why === undefined || !passes || tries >= TRIES_MAX || this.#isEnding) return why
      await new Promise<void>((resolve) => {
        this.#context.clock.after(RETRY_MS * 2 ** (tries - 1), resolve)
      })
    }
  }

  async #asked(batch: readonly Span[]): Promise<{ readonly passes: boolean; readonly why: string | undefined }> {
    const { url, fields, serviceName } = this.#settings()
    const late = new AbortController()
    const timer = this.#context.clock.after(ANSWER_MS_MAX, () => late.abort())
    try {
      const headers = [...fields, ["Content-Type", "application/json"]].map(
        ([name = "", value = ""]): [string, string] => [name, value],
      )
      const answer = await fetch(url, {
        method: "POST",
        headers,
        body: bodyOf(batch, serviceName),
        signal: late.signal,
      })
      await answer.body?.cancel()
      if (answer.ok) return { passes: false, why: undefined }
      return { passes: PASSING.has(answer.status), why: `${url} says ${answer.status}` }
    } catch (thrown) {
      return { passes: true, why: `${url} does not answer (${late.signal.aborted ? "in time" : causeOf(thrown)})` }
    } finally {
      timer.cancel()
    }
  }

  #took(count: number): void {
    this.#spans.add(count, { sent: "true" })
    if (this.#hasFailed) this.#context.log.info("the collector takes spans again")
    this.#hasFailed = false
  }

  /** Said once, until it is over. */
  #dropped(count: number, why: string): void {
    if (count === 0) return
    this.#spans.add(count, { sent: "false" })
    if (!this.#hasFailed) this.#context.log.warn(`spans are dropped: ${why}; the traffic goes on`)
    this.#hasFailed = true
  }
}

/** ExportTraceServiceRequest in OTLP/JSON. */
function bodyOf(spans: readonly Span[], serviceName: string): string {
  const resource = { attributes: [{ key: "service.name", value: { stringValue: serviceName } }] }
  return JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "llmproxy" }, spans }] }] })
}

function causeOf(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined
  if (cause instanceof Error) return "code" in cause ? String(cause.code) : cause.message
  return thrown instanceof Error ? thrown.message : String(thrown)
}
