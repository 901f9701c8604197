/**
 * The terminal output: an addon of the program's own that listens to what its detail level needs and to nothing more.
 * How a flow looks is flow-line.ts and flow-text.ts; who may print while an answer streams is turns.ts.
 */
import type { AddonDefinition, TokenService } from "../../api/addon.ts"
import type { Delta, Flow, LlmFlow } from "../../api/flow.ts"
import type { Hooks } from "../../api/hooks.ts"
import { Redactor } from "../../base/secrets/redactor.ts"
import { CHILD_LEAD, flowLine, targetOf } from "./flow-line.ts"
import {
  completionText,
  excerptText,
  KEPT_BYTES_MAX,
  messagesText,
  named,
  requestText,
  responseText,
  TEXT_INDENT,
  toolCallText,
} from "./flow-text.ts"
import { countedUsage, knownUsage, NO_TOKENS, type ShownUsage } from "./flow-usage.ts"
import { LiveText, shownText } from "./live-text.ts"
import type { Output } from "./output.ts"
import type { Paint } from "./paint.ts"
import { Summary } from "./summary.ts"
import { Turns } from "./turns.ts"

export interface TerminalOptions {
  readonly out: Output
  readonly paint: Paint
  /** 0..4, as --flow-detail. */
  readonly detail: number
  /** Default: one that knows none of the program's secrets. */
  readonly redactor?: Redactor
}

export interface Terminal {
  /** Undefined at detail 0: there is nothing to listen to. */
  readonly addon: AddonDefinition | undefined
  /** What became of all flows. */
  readonly summary: Summary
}

export function makeTerminal(options: TerminalOptions): Terminal {
  const { detail } = options
  const summary = new Summary()
  if (detail === 0) return { addon: undefined, summary }
  const setup: AddonDefinition["setup"] = ({ tokens }) => hooksOf(detail, new FlowPrinter(options, summary, tokens))
  return { addon: { name: "terminal", collect: detail === 4, setup }, summary }
}

function hooksOf(detail: number, printer: FlowPrinter): Partial<Hooks> {
  // Listening is what makes the core read requests and answers; what it has read then stands in the flow.
  const reads = { llmRequest() {}, llmResponse() {}, llmError() {} }
  const ends = { response: (flow: Flow) => printer.ended(flow), error: (flow: Flow) => printer.ended(flow) }
  const hooks: Partial<Hooks> = { ...reads, ...ends, done: () => printer.counted() }
  if (detail === 3) {
    hooks.llmRequest = (flow) => printer.asked(flow)
    hooks.llmDelta = (flow, delta) => printer.delta(flow, delta)
  }
  if (detail === 4) {
    hooks.request = (flow) => printer.requested(flow)
    hooks.responseHeaders = (flow) => flow.response?.keep(KEPT_BYTES_MAX)
  }
  return hooks
}

/** An answer while it streams. */
interface Live {
  readonly text: LiveText
  /** What kind of text is being printed. */
  kind: "text" | "reasoning" | "refusal"
}

class FlowPrinter {
  readonly #options: TerminalOptions
  readonly #summary: Summary
  readonly #turns: Turns
  readonly #redactor: Redactor
  readonly #tokens: TokenService
  readonly #live = new WeakMap<Flow, Live>()
  /** Lines that wait for a count. */
  readonly #counting = new Set<Promise<void>>()

  constructor(options: TerminalOptions, summary: Summary, tokens: TokenService) {
    this.#tokens = tokens
    this.#options = options
    this.#redactor = options.redactor ?? new Redactor()
    this.#summary = summary
    this.#turns = new Turns((text) => options.out.write(text))
  }

  /** Detail 4: the request as it came. */
  requested(flow: Flow): void {
    this.#learn(flow)
    this.#turns.print(this.#title(flow) + requestText(flow, this.#redactor))
  }

  /** Detail 3: what the model is asked. */
  asked(flow: LlmFlow): void {
    this.#learn(flow)
    this.#turns.print(this.#title(flow) + messagesText(flow, this.#options.paint, this.#redactor))
  }

  /** Detail 3: a piece of the answer. What an addon asks for itself is not shown twice: its client gets it, or nobody. */
  delta(flow: LlmFlow, delta: Delta): void {
    if (flow.parent !== undefined) return
    if (delta.type !== "text" && delta.type !== "reasoning" && delta.type !== "refusal") return
    if (delta.text === "" || delta.index !== 0) return
    const { paint } = this.#options
    const live = this.#live.get(flow)
    if (live === undefined) {
      const text = new LiveText(TEXT_INDENT, this.#redactor)
      this.#live.set(flow, { text, kind: delta.type })
      this.#turns.live(flow, named(nameOf(delta.type), text.feed(delta.text), paint).slice(0, -1))
      return
    }
    if (live.kind === delta.type) {
      this.#turns.live(flow, live.text.feed(delta.text))
      return
    }
    live.kind = delta.type
    const rest = live.text.finish()
    this.#turns.live(flow, `${rest}\n${named(nameOf(delta.type), live.text.feed(delta.text), paint).slice(0, -1)}`)
  }

  /** The flow is over: its line, with what its detail adds. Nobody waits for tokens that have to be counted. */
  ended(flow: Flow): void {
    this.#learn(flow)
    const isChild = flow.parent !== undefined
    if (isChild && this.#options.detail < 2) return
    const usage = knownUsage(flow) ?? (isChild ? NO_TOKENS : undefined)
    if (usage !== undefined) {
      this.#print(flow, usage)
      return
    }
    const counting = countedUsage(flow, this.#tokens)
      .then((counted) => this.#print(flow, counted))
      .finally(() => this.#counting.delete(counting))
    this.#counting.add(counting)
  }

  /** Resolves when every line has been printed. */
  async counted(): Promise<void> {
    await Promise.all(this.#counting)
  }

  #print(flow: Flow, usage: ShownUsage): void {
    const { detail, paint, out } = this.#options
    const redactor = this.#redactor
    if (flow.parent === undefined) this.#summary.add(flow, usage)
    const line = flowLine(flow, usage, { paint, columns: out.columns, redactor })
    if (detail === 2) this.#turns.print(line + excerptText(flow, paint, redactor))
    else if (detail === 3) this.#turns.end(flow, this.#rest(flow) + line)
    else if (detail === 4) this.#turns.print(line + responseText(flow, redactor))
    else this.#turns.print(line)
  }

  /** What of an answer has not been printed as it came. */
  #rest(flow: Flow): string {
    const { paint } = this.#options
    const completion = flow.llm?.completion
    const live = this.#live.get(flow)
    if (live === undefined)
      return completion === undefined || flow.parent !== undefined
        ? ""
        : completionText(completion, paint, this.#redactor)
    const calls = completion?.toolCalls ?? []
    const shown = (call: (typeof calls)[number]) =>
      shownText(toolCallText(call, this.#redactor), TEXT_INDENT, this.#redactor)
    return `${live.text.finish()}\n${calls.map((call) => named("", shown(call), paint)).join("")}`
  }

  /** What authenticates a flow is repeated by hosts, in errors most of all. */
  #learn({ original, request, response }: Flow): void {
    this.#redactor.learn(original.headers, original.url)
    const isAsItCame = request.headers.lines() === original.headers.lines() && request.url === original.url
    if (!isAsItCame) this.#redactor.learn(request.headers, request.url)
    if (response !== undefined) this.#redactor.learn(response.headers)
  }

  #title(flow: Flow): string {
    const lead = flow.parent === undefined ? "→ " : `${CHILD_LEAD}→ `
    return `${lead}${this.#options.paint("bold", targetOf(flow, this.#redactor))}\n`
  }
}

function nameOf(kind: Live["kind"]): string {
  return kind === "text" ? "answer" : kind
}
