/**
 * OpenAI's clients in a session: `x-llmproxy-session` puts what was said before in front of what a chat brings, and keeps both, with the
 * answer, once that is whole. An answer that was cut is not kept, nor what it was to.
 */
import type { AddonContext, Choice, Completion, Flow, JsonObject, LlmFlow, Message } from "llmproxy"
import { MODEL_CONTEXT } from "../shared/context-size.ts"
import { ID_RULE, idOf, ownerOf } from "./ids.ts"
import type { OPTIONS } from "./options.ts"
import { SessionBusy, type Turn, type Turns } from "./turns.ts"
import { promptLimit, windowOf } from "./window.ts"

const FIELD = "x-llmproxy-session"

interface Open {
  readonly turn: Turn
  /** What the request brings. */
  readonly own: readonly Message[]
  keeping: Promise<void>
}

type Context = Pick<AddonContext<typeof OPTIONS>, "options" | "tokens" | "log">

export class SessionFlows {
  readonly #context: Context
  readonly #turns: () => Promise<Turns>
  /** The field as it came. */
  readonly #named = new WeakMap<Flow, string>()
  readonly #open = new WeakMap<Flow, Open>()

  constructor(context: Context, turns: () => Promise<Turns>) {
    this.#context = context
    this.#turns = turns
  }

  /** No upstream sees the field. */
  head(flow: Flow): void {
    const { headers } = flow.request
    const field = headers.get(FIELD)
    if (field === undefined) return
    headers.delete(FIELD)
    if (flow.parent === undefined && flow.turn === undefined) this.#named.set(flow, field.trim())
  }

  /** No promise is made for what is in no session. */
  begin(flow: LlmFlow): Promise<void> | undefined {
    const field = this.#named.get(flow)
    return field === undefined ? undefined : this.#begin(flow, field)
  }

  async #begin(flow: LlmFlow, field: string): Promise<void> {
    const id = idOf(field)
    const owner = ownerOf(flow.client)
    if (id === undefined) return refuse(flow, 400, "invalid_session", `${FIELD} ${ID_RULE}`)
    if (owner === undefined)
      return refuse(flow, 401, "unauthorized", `${FIELD}: sessions are for clients that were named, or of this machine`)
    const { request } = flow.llm
    if (request.dialect !== "openai-chat")
      return refuse(flow, 400, "unsupported", `${FIELD} is for chat completions, and this is ${request.dialect}`)
    const turns = await flow.waitFor(this.#turns())
    let turn: Turn
    try {
      // A client that leaves while it waits ends the wait by itself.
      turn = await flow.waitFor(entered(turns, { owner, id }, flow))
    } catch (thrown) {
      if (thrown instanceof SessionBusy) return refuse(flow, 429, "session_busy", thrown.message)
      throw thrown
    }
    const own = [...request.messages]
    this.#open.set(flow, { turn, own, keeping: Promise.resolve() })
    const before = own.some(isSystem) ? turn.messages.filter((message) => !isSystem(message)) : turn.messages
    if (before.length === 0) return
    const all = [...own.filter(isSystem), ...before, ...own.filter((message) => !isSystem(message))]
    const { messages, left } = await flow.waitFor(windowOf(all, this.#limit(flow), this.#context.tokens))
    if (left > 0)
      this.#context.log.info(`session ${JSON.stringify(id)}: ${left} messages are not sent, as they do not fit`)
    request.messages = messages
  }

  /** The answer is whole, or has broken off. */
  whole(flow: LlmFlow, completion: Completion): Promise<void> | undefined {
    const open = this.#open.get(flow)
    const [choice] = completion.choices
    const isWhole = completion.finishReason.unified !== "cut" && completion.truncated !== true
    if (open === undefined || choice === undefined || !isWhole) return undefined
    const { turn, own } = open
    // A system prompt is kept with the first of its turns; a later one counts for its request alone.
    const kept = turn.messages.length === 0 ? own : own.filter((message) => !isSystem(message))
    open.keeping = turn
      .append([...kept, saidBy(choice)])
      .catch((thrown) => this.#context.log.warn(thrown instanceof Error ? thrown.message : String(thrown)))
    return open.keeping
  }

  end(flow: Flow): Promise<void> | undefined {
    const open = this.#open.get(flow)
    if (open === undefined) return undefined
    this.#open.delete(flow)
    return this.#end(open)
  }

  async #end(open: Open): Promise<void> {
    await open.keeping
    await open.turn.leave()
  }

  #limit(flow: LlmFlow): number | undefined {
    const { tokens } = this.#context.options
    if (tokens > 0) return tokens
    const context = MODEL_CONTEXT.of(flow)
    return context === undefined ? undefined : promptLimit(context)
  }
}

/** A turn that comes when its flow is over already is left at once. */
async function entered(turns: Turns, session: { owner: string; id: string }, flow: Flow): Promise<Turn> {
  const turn = await turns.enter(session, flow.signal)
  if (flow.signal.aborted) await turn.leave()
  return turn
}

function isSystem({ role }: Message): boolean {
  return role === "system" || role === "developer"
}

function saidBy({ text, refusal, toolCalls }: Choice): Message {
  const calls = toolCalls.map(
    ({ id, name, arguments: args }, index): JsonObject => ({
      id: id ?? `call_${index}`,
      type: "function",
      function: { name, arguments: args },
    }),
  )
  const content = text !== "" || calls.length === 0 ? text : null
  return {
    ...{ role: "assistant", content },
    ...(refusal === "" ? {} : { refusal }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  }
}

function refuse(flow: LlmFlow, status: number, code: string, message: string): void {
  flow.respond({ status, error: { code, message, type: "invalid_request_error" } })
}
