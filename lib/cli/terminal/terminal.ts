/**
 * The terminal output: an addon of the program's own that listens to what its detail level needs and to nothing more.
 * How a flow looks is flow-line.ts and flow-text.ts; who may print while an answer streams is turns.ts.
 */
import type { AddonDefinition, TokenService } from "../../api/addon.ts"
import type { Delta, Flow, LlmFlow } from "../../api/flow.ts"
import type { Hooks } from "../../api/hooks.ts"
import { Redactor } from "../../base/secrets/redactor.ts"
import { CHILD_LEAD, flowLine, markOf, targetOf } from "./flow-line.ts"
import {
  completionText,
  excerptText,
  KEPT_BYTES_MAX,
  messagesText,
  named,
  requestText,
  responseText,
  TEXT_INDENT,
  type TextStyle,
  toolCallText,
} from "./flow-text.ts"
import { countedUsage, knownUsage, NO_TOKENS, partlyKnownUsage, type ShownUsage } from "./flow-usage.ts"
import { LiveText, shownText } from "./live-text.ts"
import type { Output } from "./output.ts"
import type { Paint } from "./paint.ts"
import { Summary } from "./summary.ts"
import { Turns } from "./turns.ts"
import { Wrapper } from "./wrap.ts"

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
  return { addon: { name: "terminal", reads: detail === 4 ? "bodies" : "llm", setup }, summary }
}

function hooksOf(detail: number, printer: FlowPrinter): Partial<Hooks> {
  const ends = { response: (flow: Flow) => printer.ended(flow), error: (flow: Flow) => printer.ended(flow) }
  const hooks: Partial<Hooks> = { ...ends, done: () => printer.counted() }
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
  /** Breaks its lines; one for each kind of text. */
  lines: Wrapper
  /** What kind of text is being printed. */
  kind: "text" | "reasoning" | "refusal"
}

/** A flow that is over, and its tokens once they are known. */
interface Ended {
  readonly flow: Flow
  usage: ShownUsage | undefined
}

/** Flows whose lines wait for a count, their own or that of one before them. */
const WAITING_MAX = 256

class FlowPrinter {
  readonly #options: TerminalOptions
  readonly #summary: Summary
  readonly #turns: Turns
  readonly #redactor: Redactor
  readonly #tokens: TokenService
  readonly #live = new WeakMap<Flow, Live>()
  /** In the order in which they have ended, without those that are printed. */
  readonly #ended: Ended[] = []
  /** Counts that run. */
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
    this.#turns.print(this.#title(flow) + requestText(flow, this.#style))
  }

  /** Detail 3: what the model is asked. */
  asked(flow: LlmFlow): void {
    this.#learn(flow)
    this.#turns.print(this.#title(flow) + messagesText(flow, this.#style))
  }

  /** Detail 3: a piece of the answer. What an addon asks for itself is not shown twice: its client gets it, or nobody. */
  delta(flow: LlmFlow, delta: Delta): void {
    if (flow.parent !== undefined) return
    if (delta.type !== "text" && delta.type !== "reasoning" && delta.type !== "refusal") return
    if (delta.text === "" || delta.index !== 0) return
    const live = this.#live.get(flow)
    if (live === undefined) {
      const begun = { text: new LiveText(TEXT_INDENT, this.#redactor), lines: this.#lines(), kind: delta.type }
      this.#live.set(flow, begun)
      this.#turns.live(flow, this.#begin(begun, delta.text))
      return
    }
    if (live.kind === delta.type) {
      this.#turns.live(flow, live.lines.feed(live.text.feed(delta.text)))
      return
    }
    const rest = live.lines.feed(live.text.finish())
    live.kind = delta.type
    live.lines = this.#lines()
    this.#turns.live(flow, `${rest}\n${this.#begin(live, delta.text)}`)
  }

  /** The name of a kind of text, and the first of it. */
  #begin({ text, lines, kind }: Live, piece: string): string {
    return named(nameOf(kind), "", this.#options.paint).slice(0, -1) + lines.feed(text.feed(piece))
  }

  #lines(): Wrapper {
    return new Wrapper(this.#options.out.columns, TEXT_INDENT)
  }

  get #style(): TextStyle {
    const { paint, out } = this.#options
    return { paint, columns: out.columns, redactor: this.#redactor }
  }

  /**
   * The flow is over: its line, with what its detail adds. Nobody waits for tokens that have to be counted, but lines do:
   * they come in the order in which flows have ended.
   */
  ended(flow: Flow): void {
    this.#learn(flow)
    const isChild = flow.parent !== undefined
    if (isChild && this.#options.detail < 2) return
    const ended: Ended = { flow, usage: knownUsage(flow) ?? (isChild ? NO_TOKENS : undefined) }
    if (ended.usage === undefined) {
      const counting = this.#count(ended).finally(() => this.#counting.delete(counting))
      this.#counting.add(counting)
    }
    this.#ended.push(ended)
    this.#printCounted()
  }

  /** Resolves when every line has been printed. */
  async counted(): Promise<void> {
    await Promise.all(this.#counting)
  }

  async #count(ended: Ended): Promise<void> {
    // Where nothing can be counted now, what the host has said is shown.
    ended.usage = await countedUsage(ended.flow, this.#tokens).catch(() => partlyKnownUsage(ended.flow))
    this.#printCounted()
  }

  /** Up to the first whose tokens are not counted yet; more than so many wait for none. */
  #printCounted(): void {
    for (;;) {
      const [first] = this.#ended
      if (first === undefined) return
      const usage = first.usage ?? (this.#ended.length > WAITING_MAX ? partlyKnownUsage(first.flow) : undefined)
      if (usage === undefined) return
      this.#ended.shift()
      this.#print(first.flow, usage)
    }
  }

  #print(flow: Flow, usage: ShownUsage): void {
    const { detail, paint, out } = this.#options
    const redactor = this.#redactor
    if (flow.parent === undefined) this.#summary.add(flow, usage)
    const line = flowLine(flow, usage, { paint, columns: out.columns, redactor })
    if (detail === 2) this.#turns.print(line + excerptText(flow, this.#style))
    else if (detail === 3) this.#turns.end(flow, this.#rest(flow) + line)
    else if (detail === 4) this.#turns.print(line + responseText(flow, this.#style))
    else this.#turns.print(line)
  }

  /** What of an answer has not been printed as it came. */
  #rest(flow: Flow): string {
    const { paint, out } = this.#options
    const completion = flow.llm?.completion
    const live = this.#live.get(flow)
    if (live === undefined)
      return completion === undefined || flow.parent !== undefined ? "" : completionText(completion, this.#style)
    const calls = completion?.toolCalls ?? []
    const shown = (call: (typeof calls)[number]) =>
      shownText(toolCallText(call, this.#redactor), TEXT_INDENT, this.#redactor)
    const rest = live.lines.feed(live.text.finish())
    return `${rest}\n${calls.map((call) => named("", shown(call), paint, out.columns)).join("")}`
  }

  /** What authenticates a flow is repeated by hosts, in errors most of all. */
  #learn({ original, request, response }: Flow): void {
    this.#redactor.learn(original.headers, original.url)
    const isAsItCame = request.headers.lines() === original.headers.lines() && request.url === original.url
    if (!isAsItCame) this.#redactor.learn(request.headers, request.url)
    if (response !== undefined) this.#redactor.learn(response.headers)
  }

  #title(flow: Flow): string {
    const { paint } = this.#options
    const lead = flow.parent === undefined ? "→ " : `${CHILD_LEAD}→ `
    return `${lead}${paint("dim", markOf(flow))}  ${paint("bold", targetOf(flow, this.#redactor))}\n`
  }
}

function nameOf(kind: Live["kind"]): string {
  return kind === "text" ? "answer" : kind
}
