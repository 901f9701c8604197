/** Answers of a chat host, for a ScriptedOrigin. */
import type { ReplyScript } from "../../../lib/testing/origin.ts"

interface UsageNumbers {
  prompt_tokens: number
  completion_tokens: number
}

/** A JSON answer; without `usage` it tells none. */
export function jsonReply(content: string, usage?: UsageNumbers): ReplyScript {
  const choices = [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }]
  return httpReply(200, { id: "1", object: "chat.completion", created: 1, model: "gpt-4o", choices, usage })
}

export function httpReply(status: number, json: object): ReplyScript {
  const body = JSON.stringify(json)
  const head = `HTTP/1.1 ${status} Told\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
  return (_request, socket) => void socket.write(head + body)
}

/** A streamed answer, an event a piece. */
export function sseReply(pieces: string[]): ReplyScript {
  const event = (delta: object, finish_reason: string | null) => {
    const choices = [{ index: 0, delta, finish_reason }]
    return `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 1, model: "gpt-4o", choices })}\n\n`
  }
  const events = [...pieces.map((content) => event({ content }, null)), event({}, "stop"), "data: [DONE]\n\n"]
  const body = events.join("")
  const head = `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`
  return (_request, socket) => void socket.write(head + body)
}
