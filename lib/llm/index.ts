/**
 * The dialects that llmproxy speaks. A new one is a file of its own and a line here.
 */
import { FlowError } from "../base/errors.ts"
import { anthropicMessages } from "./anthropic/messages.ts"
import type { Dialect } from "./dialect.ts"
import { llamacpp } from "./llamacpp/llamacpp.ts"
import { ollama } from "./ollama/ollama.ts"
import { openaiChat } from "./openai/chat.ts"
import { openaiCompletions } from "./openai/completions.ts"
import { openaiRealtime } from "./openai/realtime.ts"
import { openaiResponses } from "./responses/responses.ts"
import { realtimeSocket, responsesSocket, type SocketDialect } from "./websocket-events.ts"

export const DIALECTS: readonly Dialect[] = [
  openaiChat,
  openaiCompletions,
  openaiResponses,
  anthropicMessages,
  ollama,
  llamacpp,
]

/** Conversations over WebSocket: each turn is read by its dialect. */
const SOCKET_DIALECTS: readonly SocketDialect[] = [responsesSocket, realtimeSocket]

/** The dialect of an upgraded connection, by its path (with its query); undefined when no model is at its end. */
export function socketDialectFor(path: string): SocketDialect | undefined {
  return SOCKET_DIALECTS.find((dialect) => dialect.match(path))
}

/** The dialect of a request, by method and path (with its query); undefined when it is no call to a model. */
export function dialectFor(method: string, path: string): Dialect | undefined {
  return DIALECTS.find((dialect) => dialect.match(method, path))
}

/** The dialect of that name. Throws a FlowError for a name that is none: an addon has named it. */
export function dialectNamed(name: string): Dialect {
  const dialects = [...DIALECTS, openaiRealtime]
  const dialect = dialects.find((known) => known.name === name)
  if (dialect) return dialect
  const names = dialects.map((known) => known.name).join(", ")
  throw new FlowError("addon", "unknown-dialect", `no dialect named "${name}"; there are ${names}`)
}
