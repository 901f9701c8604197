/** `POST /answer`: asks in a session, or alone, and writes the answer as one JSON or as a stream of chat chunks. */
import { randomUUID } from "node:crypto"
import { type Answer, FlowError, type Logger, type Message, type ServeContext } from "llmproxy"
import type { Asker } from "./asker.ts"
import { LeaseLost } from "./store.ts"
import { SessionBusy, type Turn, type Turns } from "./turns.ts"

export interface Asked {
  readonly owner: string
  /** Undefined: the request stands alone. */
  readonly session: string | undefined
  readonly prompt: string
  readonly stream: boolean
}

interface Tools {
  readonly asker: Asker
  readonly turns: Turns
  readonly log: Logger
}

/** A turn of nobody's: nothing was said, and nothing is kept. */
const ALONE: Turn = { messages: [], append: () => Promise.resolve(), leave: () => Promise.resolve() }

export async function answer(asked: Asked, request: Request, caller: ServeContext, tools: Tools): Promise<Response> {
  const { owner, session: id, prompt, stream } = asked
  let turn: Turn
  try {
    turn = id === undefined ? ALONE : await tools.turns.enter({ owner, id }, caller.signal)
  } catch (thrown) {
    if (thrown instanceof SessionBusy) return said(429, thrown.message, { "Retry-After": "5" })
    throw thrown
  }
  const question: Message = { role: "user", content: prompt }
  let isStreaming = false
  try {
    const messages = [...turn.messages, question]
    const given = await tools.asker.ask({ owner, caller, request, messages, stream })
    const { failure } = given
    if (failure !== undefined) {
      given.abort()
      const retry = given.headers.get("retry-after")
      return said(
        failure.status >= 400 ? failure.status : 502,
        failure.message,
        retry === undefined ? {} : { "Retry-After": retry },
      )
    }
    const keep = (text: string) => turn.append([question, { role: "assistant", content: text }])
    if (stream) {
      isStreaming = true
      return streamed(given, keep, () => turn.leave())
    }
    const { text } = await given.completion()
    await keep(text)
    return Response.json({ result: text })
  } catch (thrown) {
    if (!(thrown instanceof LeaseLost)) throw thrown
    tools.log.warn(thrown.message)
    return said(409, `${thrown.message}; ask again`)
  } finally {
    if (!isStreaming) await turn.leave()
  }
}

/** An error, in the form of these endpoints. */
export function said(status: number, message: string, headers: Record<string, string> = {}): Response {
  return Response.json({ message }, { status, headers })
}

/** Chunks as OpenAI's chat has them. An answer that breaks off ends with an error, is cut, and is not kept. */
function streamed(answer: Answer, keep: (text: string) => Promise<void>, over: () => Promise<void>): Response {
  const events = eventsOf(answer, keep)[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await events.next()
        if (done !== true) return controller.enqueue(encoder.encode(`data: ${value}\n\n`))
        await over()
        controller.close()
      } catch (thrown) {
        await over()
        controller.error(thrown)
      }
    },
    async cancel() {
      answer.abort()
      await over()
    },
  })
  return new Response(body, { headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-store" } })
}

async function* eventsOf(answer: Answer, keep: (text: string) => Promise<void>): AsyncGenerator<string> {
  const head = { id: `chatcmpl-${randomUUID()}`, object: "chat.completion.chunk" }
  const model = answer.flow.llm?.request.model ?? ""
  const chunk = (delta: object, finish: string | null) =>
    JSON.stringify({ ...head, model, choices: [{ index: 0, delta, finish_reason: finish }] })
  try {
    yield chunk({ role: "assistant", content: "" }, null)
    for await (const delta of answer.deltas())
      if (delta.type === "text" && delta.index === 0) yield chunk({ content: delta.text }, null)
    const { text, finishReason } = await answer.completion()
    await keep(text)
    yield chunk({}, finishReason.unified === "length" ? "length" : "stop")
    yield "[DONE]"
  } catch (thrown) {
    // What else was thrown is this machine's affair; whoever sends the answer logs it.
    const said = thrown instanceof FlowError ? thrown.told : "the session could not be kept"
    const message = thrown instanceof LeaseLost ? thrown.message : said
    yield JSON.stringify({ error: { message, type: "server_error", code: "answer_cut", param: null } })
    throw thrown
  }
}
