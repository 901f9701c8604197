/**
 * The files of Pythagora-LLM-Proxy, written as answers come: a JSON array of records for fine-tuning, a log of the local
 * host's answers and one of the cloud's. One write after the other, from a bounded queue; what cannot be written is said
 * once and not kept. A FIFO or a device (/dev/stdout) is written to as it is, and gets the records one a line.
 */
import { appendFile } from "node:fs/promises"
import { resolve } from "node:path"
import {
  type Clock,
  type FlowSnapshot,
  type Logger,
  type Message,
  type OptionValues,
  type OutputStream,
  openStream,
  outputPlace,
  type Redactor,
} from "llmproxy"
import { ROUTES } from "../shared/local-answers.ts"
import { appendRecord } from "./json-array.ts"
import type { OPTIONS } from "./options.ts"

/** Writes that wait. */
const QUEUE_MAX = 1_024
/** Milliseconds that the end waits for what is not written, as to a FIFO whose reader has stopped reading. */
const FINISH_MS_MAX = 1_000
/** How an answer ends that is an example to learn from; the logs have the others as well. */
const GOOD_ENDINGS: ReadonlySet<string> = new Set(["stop", "toolCalls"])

/** A record of the seed's history.json. */
interface SeedRecord {
  readonly instruction: string
  readonly output: string
  readonly tokens: number
  readonly client: "Local LLM" | "OpenAI"
}

export interface LiveFilesOptions {
  readonly options: Pick<OptionValues<typeof OPTIONS>, "json" | "outputLog" | "openaiOutputLog">
  readonly log: Pick<Logger, "warn">
  readonly redactor: Redactor
  readonly clock: Clock
}

export class LiveFiles {
  readonly #options: LiveFilesOptions
  readonly #broken = new Set<string>()
  /** What is no regular file, open. */
  readonly #streams = new Map<string, OutputStream>()
  #queue: Promise<void> = Promise.resolve()
  #waiting = 0

  constructor(options: LiveFilesOptions) {
    this.#options = options
  }

  /** Writes an answered request of a client: attempts, errors and answers that broke off are no examples to learn from. */
  write(snapshot: FlowSnapshot): void {
    const { options, redactor } = this.#options
    const { json, outputLog, openaiOutputLog } = options
    const isLocal = snapshot.routed?.name === ROUTES.local
    const logFile = isLocal ? outputLog : openaiOutputLog
    const completion = snapshot.llm?.completion
    if ((!json && !logFile) || snapshot.parentId !== undefined || completion === undefined) return
    if (completion.finishReason.unified === "cut" || completion.text === "") return
    redactor.learn(snapshot.request.headers, snapshot.request.url)
    const isExample = GOOD_ENDINGS.has(completion.finishReason.unified)
    if (json && isExample) this.#later(json, () => this.#record(json, snapshot, isLocal))
    if (logFile) this.#later(logFile, () => this.#log(logFile, logEntry(snapshot, redactor)))
  }

  /** Resolves when all is written, or could not be within a second. */
  async finish(): Promise<void> {
    let timer: { cancel(): void } | undefined
    const late = new Promise<void>((done) => {
      timer = this.#options.clock.after(FINISH_MS_MAX, done)
    })
    await Promise.race([this.#queue, late])
    timer?.cancel()
    for (const stream of this.#streams.values()) stream.abandon()
    this.#streams.clear()
  }

  async #log(file: string, entry: string): Promise<void> {
    const place = await outputPlace(resolve(file))
    if (place.kind === "stream") await this.#stream(place, entry)
    else await appendFile(place.path, entry, { mode: 0o600 })
  }

  async #record(file: string, snapshot: FlowSnapshot, isLocal: boolean): Promise<void> {
    const { redactor, log, clock } = this.#options
    const record = seedRecord(snapshot, redactor, isLocal)
    const place = await outputPlace(resolve(file))
    if (place.kind === "stream") return await this.#stream(place, `${JSON.stringify(record)}\n`)
    const aside = await appendRecord(place.path, record, clock.now())
    if (aside !== undefined)
      log.warn(`${file}: is no JSON array that can be added to; it is kept as ${aside}, and a new one begins`)
  }

  /** Opened anew after a failure: a FIFO's next reader gets what comes then. */
  async #stream(place: Parameters<typeof openStream>[0], text: string): Promise<void> {
    const stream = this.#streams.get(place.path) ?? (await openStream(place))
    this.#streams.set(place.path, stream)
    try {
      await stream.write(text)
    } catch (thrown) {
      this.#streams.delete(place.path)
      stream.abandon()
      throw thrown
    }
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
    .map(seedText)
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
function seedText({ content }: Message): string {
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
