/**
 * The files of Pythagora-LLM-Proxy, written as answers come: a JSON array of records for fine-tuning, a log of the local
 * host's answers and one of the cloud's. One write after the other, from a bounded queue; what cannot be written is said
 * once and not kept.
 */
import { appendFile } from "node:fs/promises"
import { resolve } from "node:path"
import type { FlowSnapshot, Logger, Message, OptionValues, Redactor } from "llmproxy"
import { appendRecord } from "./json-array.ts"
import type { OPTIONS } from "./options.ts"

/** Writes that wait. */
const QUEUE_MAX = 1_024
/** The name of the route that keeps a request on this machine, as the conductor says it. */
const LOCAL = "local"

/** A record of the seed's history.json. */
export interface SeedRecord {
  readonly instruction: string
  readonly output: string
  readonly tokens: number
  readonly client: "Local LLM" | "OpenAI"
}

export interface LiveFilesOptions {
  readonly options: Pick<OptionValues<typeof OPTIONS>, "json" | "outputLog" | "openaiOutputLog">
  readonly log: Pick<Logger, "warn">
  readonly redactor: Redactor
  /** Epoch milliseconds. */
  now(): number
}

export class LiveFiles {
  readonly #options: LiveFilesOptions
  readonly #broken = new Set<string>()
  #queue: Promise<void> = Promise.resolve()
  #waiting = 0

  constructor(options: LiveFilesOptions) {
    this.#options = options
  }

  /** Writes an answered request of a client: attempts, errors and answers that broke off are no examples to learn from. */
  write(snapshot: FlowSnapshot): void {
    const { options, redactor } = this.#options
    const { json, outputLog, openaiOutputLog } = options
    const isLocal = snapshot.routed?.name === LOCAL
    const logFile = isLocal ? outputLog : openaiOutputLog
    const completion = snapshot.llm?.completion
    if ((!json && !logFile) || snapshot.parentId !== undefined || completion === undefined) return
    if (completion.finishReason.unified === "cut" || completion.text === "") return
    redactor.learn(snapshot.request.headers, snapshot.request.url)
    if (json) this.#later(json, () => this.#record(json, snapshot, isLocal))
    if (logFile) this.#later(logFile, () => appendFile(logFile, logEntry(snapshot, redactor), { mode: 0o600 }))
  }

  /** Resolves when all is written. */
  async finish(): Promise<void> {
    await this.#queue
  }

  async #record(file: string, snapshot: FlowSnapshot, isLocal: boolean): Promise<void> {
    const { redactor, log, now } = this.#options
    const record = seedRecord(snapshot, redactor, isLocal)
    const aside = await appendRecord(resolve(file), record, now())
    if (aside !== undefined)
      log.warn(`${file}: is no JSON array that can be added to; it is kept as ${aside}, and a new one begins`)
  }

  #later(file: string, work: () => Promise<void>): void {
    if (this.#waiting >= QUEUE_MAX) {
      this.#failed(file, `${QUEUE_MAX} answers are waiting to be written`)
      return
    }
    this.#waiting += 1
    this.#queue = this.#queue.then(async () => {
      try {
        await work()
        this.#broken.delete(file)
      } catch (thrown) {
        this.#failed(file, thrown instanceof Error ? thrown.message : String(thrown))
      }
      this.#waiting -= 1
    })
  }

  #failed(file: string, why: string): void {
    if (this.#broken.has(file)) return
    this.#broken.add(file)
    this.#options.log.warn(`${file}: answers are not written: ${why}`)
  }
}

function seedRecord({ request, routed, llm }: FlowSnapshot, redactor: Redactor, isLocal: boolean): SeedRecord {
  const { text = "", usage } = llm?.completion ?? {}
  const contents = messagesIn(request.body)
    .map(textOf)
    .filter((content) => content !== "")
  return {
    instruction: contents.map((content) => redactor.text(content)).join(" "),
    output: redactor.text(text),
    tokens: routed?.tokens ?? usage?.inputTokens ?? 0,
    client: isLocal ? "Local LLM" : "OpenAI",
  }
}

function messagesIn(body: string | undefined): Message[] {
  const parsed: unknown = JSON.parse(body ?? "{}")
  if (typeof parsed !== "object" || parsed === null) return []
  if ("messages" in parsed && Array.isArray(parsed.messages)) return parsed.messages
  return "prompt" in parsed && typeof parsed.prompt === "string" ? [{ role: "user", content: parsed.prompt }] : []
}

/** The texts of a message; other parts have no place in the format. */
function textOf({ content }: Message): string {
  if (typeof content === "string") return content
  if (!Array.isArray(content)) return ""
  return content.flatMap(({ text }) => (typeof text === "string" && text !== "" ? [text] : [])).join(" ")
}

function logEntry({ timings, llm, response, routed }: FlowSnapshot, redactor: Redactor): string {
  const { completion, model } = llm ?? {}
  const { inputTokens = "?", outputTokens = "?" } = completion?.usage ?? {}
  const why = routed?.reason === undefined ? "" : `, ${redactor.text(routed.reason)}`
  const name = redactor.text(completion?.model ?? model ?? "")
  const head = `${new Date(timings.start).toISOString()} ${name} ${response?.status} in ${inputTokens} out ${outputTokens}`
  return `${head}${why}\nExtracted Response: ${redactor.text(completion?.text ?? "")}\n\n`
}
