/**
 * Hears which objects an upstream has made, and for whom: the ids in its answers. An answer as JSON is read before it leaves, so
 * that a client's next request, however soon, finds its object; a stream of events passes, and tells at its end.
 */
import { type Flow, isObject, type JsonValue, type LlmFlow, type Logger } from "llmproxy"
import { objectId } from "./asked.ts"
import type { Objects } from "./objects.ts"
import { ownerOf } from "./scopes.ts"
import type { Sender } from "./sender.ts"

/** Members of an object that name files which were made for it. */
const RESULTS = ["id", "output_file_id", "error_file_id", "result_files"]
/** Bytes of an answer that is read for its ids; a response of a model may be long, and its id is told once more at its end. */
const ANSWER_BYTES_MAX = 1_048_576

export class Told {
  readonly #objects: Objects
  readonly #sender: Sender
  readonly #log: Logger

  constructor(objects: Objects, sender: Sender, log: Logger) {
    this.#objects = objects
    this.#sender = sender
    this.#log = log
  }

  /** An answer's head is there. */
  head(flow: Flow): void | Promise<void> {
    this.#sender.hooks.responseHeaders(flow)
    const { response } = flow
    const sent = this.#sender.sentOf(flow)
    if (response === undefined || sent === undefined) return undefined
    const { status, headers } = response
    const isJson = /^application\/json\b/i.test(headers.get("content-type") ?? "")
    const length = Number(headers.get("content-length") ?? 0)
    if (status >= 300 || !isJson || length > ANSWER_BYTES_MAX || !sent.asked.tells) return undefined
    return this.#read(flow, response)
  }

  /** A model's answer has ended. */
  whole(flow: LlmFlow): void {
    const id = objectId(flow.llm.completion?.id)
    if (id !== undefined && flow.llm.dialect === "openai-responses") void this.#remember(flow, [id])
  }

  async #read(flow: Flow, response: NonNullable<Flow["response"]>): Promise<void> {
    let body: JsonValue
    try {
      await response.collect()
      body = response.json()
    } catch {
      return // It is too long, or no JSON: it passes as it is.
    }
    await flow.waitFor(this.#remember(flow, idsIn(body)))
  }

  /** Never rejects: what cannot be written is known until the end of the process. */
  async #remember(flow: Flow, ids: readonly string[]): Promise<void> {
    const sent = this.#sender.sentOf(flow)
    if (sent === undefined) return
    try {
      const { object } = sent.asked
      // What came of an object is whose that is, whoever asks for it.
      const kept = object === undefined ? undefined : await this.#objects.find(object)
      const made = { upstream: sent.upstream, owner: kept?.owner ?? ownerOf(flow) }
      await Promise.all(ids.map((id) => this.#objects.remember({ id, ...made })))
    } catch (thrown) {
      this.#log.warn(`who made ${ids.length} objects was not written: ${String(thrown)}`)
    }
  }
}

function idsIn(body: JsonValue): string[] {
  if (!isObject(body)) return []
  return RESULTS.flatMap((name) => {
    const value = body[name]
    return (Array.isArray(value) ? value : [value]).flatMap((one) => objectId(one) ?? [])
  })
}
