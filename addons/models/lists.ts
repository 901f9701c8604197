/**
 * Which models the upstreams have, by their own lists: each asked by itself, with a time limit, and kept for a while. One that is
 * down keeps what it said last, and holds nobody up for longer than that limit, nor again before it is tried anew.
 */
import type { AddonContext } from "llmproxy"
import { keyFields } from "./keys.ts"
import { urlAt } from "./place.ts"
import { LISTED_MAX, type Listed, listedAs, readList } from "./read-list.ts"
import type { Speech } from "./speech.ts"
import type { Upstream } from "./upstreams.ts"

/** Milliseconds that an upstream may take to list its models. */
const LIST_MS = 3_000
/** Milliseconds that a list counts as fresh. */
const FRESH_MS = 60_000
/** Milliseconds until one that has failed is asked again. */
const RETRY_MS = 10_000
/** Bytes of a list; OpenRouter's has 1.5 MB. */
const LIST_BYTES_MAX = 8 * 1_024 * 1_024

interface Kept {
  models: readonly Listed[]
  ids: ReadonlySet<string>
  /** Monotonic milliseconds at which it is asked again. */
  until: number
  /** Whether it has ever said a list. */
  isKnown: boolean
  /** Whether it has failed before it has ever said one: then nobody waits for it any more. */
  hasFailed: boolean
  asking: Promise<void> | undefined
}

const NEW = { models: [], ids: new Set<string>(), isKnown: false, hasFailed: false }

export interface UpstreamList {
  readonly upstream: Upstream
  readonly models: readonly Listed[]
  readonly ids: ReadonlySet<string>
  /** False: it has not said yet what it has. */
  readonly isKnown: boolean
}

type Context = Pick<AddonContext, "send" | "clock" | "log">

export class Lists {
  readonly #context: Context
  readonly #kept = new Map<string, Kept>()

  constructor(context: Context) {
    this.#context = context
  }

  /** Upstreams may be others now. */
  forget(): void {
    this.#kept.clear()
  }

  /** The lists of these upstreams, in their order. Waits for those that are asked for the first time, at most `LIST_MS`. */
  of(upstreams: readonly Upstream[]): Promise<UpstreamList[]> {
    return Promise.all(upstreams.map((upstream) => this.#listOf(upstream)))
  }

  async #listOf(upstream: Upstream): Promise<UpstreamList> {
    const { models, context } = upstream
    if (models !== undefined) {
      const listed = models.map((id) => listedAs(id, context))
      return { upstream, isKnown: true, models: listed, ids: new Set(models) }
    }
    const kept = this.#keptOf(upstream)
    const isDue = this.#context.clock.monotonic() >= kept.until
    if (isDue && kept.asking === undefined) kept.asking = this.#ask(upstream, kept)
    // What was said once is good enough while it is asked again.
    if (!kept.isKnown && !kept.hasFailed) await kept.asking
    return { upstream, models: kept.models, ids: kept.ids, isKnown: kept.isKnown }
  }

  #keptOf({ name, url }: Upstream): Kept {
    const place = `${name} ${url}`
    const kept = this.#kept.get(place) ?? { ...NEW, until: Number.NEGATIVE_INFINITY, asking: undefined }
    this.#kept.set(place, kept)
    return kept
  }

  /** Never rejects. */
  async #ask(upstream: Upstream, kept: Kept): Promise<void> {
    const { clock, log } = this.#context
    try {
      const { models, leftOut } = await this.#asked(upstream)
      kept.models = models
      kept.ids = new Set(models.map(({ id }) => id))
      kept.isKnown = true
      kept.until = clock.monotonic() + FRESH_MS
      if (leftOut > 0)
        log.warn(`upstream "${upstream.name}" lists more than ${LISTED_MAX} models; ${leftOut} are left out`)
    } catch (thrown) {
      kept.until = clock.monotonic() + RETRY_MS
      kept.hasFailed = true
      const why = thrown instanceof Error ? thrown.message : String(thrown)
      log.info(`upstream "${upstream.name}" does not list its models: ${why}`)
    } finally {
      kept.asking = undefined
    }
  }

  async #asked(upstream: Upstream): Promise<{ models: readonly Listed[]; leftOut: number }> {
    const speech = listSpeech(upstream)
    const url = urlAt(upstream.url, LIST_PATHS[speech], speech)
    const headers = { Accept: "application/json", ...keyFields(upstream) }
    const keepLocal = upstream.isLocal ? { reason: "its list of models", urls: [upstream.url] } : undefined
    const answer = await this.#context.send(
      { method: "GET", headers },
      { url, until: "end", timeoutMs: LIST_MS, ...(keepLocal === undefined ? {} : { keepLocal }) },
    )
    if (answer.failure !== undefined) throw new Error(answer.failure.message)
    if (answer.status !== 200) throw new Error(`status ${answer.status}`)
    const text = await answer.text()
    if (text.length > LIST_BYTES_MAX) throw new Error(`its list is longer than ${LIST_BYTES_MAX} bytes`)
    const list = readList(text)
    if (list === undefined) throw new Error("what it answers is no list of models")
    return list
  }
}

const LIST_PATHS: Readonly<Record<Speech, string>> = {
  openai: "/v1/models",
  "anthropic-messages": "/v1/models?limit=1000",
  ollama: "/api/tags",
  llamacpp: "/v1/models",
  gemini: "/v1beta/models?pageSize=1000",
}

function listSpeech({ speaks }: Upstream): Speech {
  return speaks.includes("openai") ? "openai" : (speaks[0] ?? "openai")
}
