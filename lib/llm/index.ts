/**
 * The dialects that llmproxy speaks. A new one is a file of its own and a line here.
 */
import { FlowError } from "../errors.ts"
import { anthropicMessages } from "./anthropic-messages.ts"
import type { Dialect } from "./dialect.ts"
import { llamacpp } from "./llamacpp.ts"
import { ollama } from "./ollama.ts"
import { openaiChat } from "./openai-chat.ts"
import { openaiCompletions } from "./openai-completions.ts"
import { openaiResponses } from "./openai-responses.ts"

export const DIALECTS: readonly Dialect[] = [
  openaiChat,
  openaiCompletions,
  openaiResponses,
  anthropicMessages,
  ollama,
  llamacpp,
]

/** The dialect of a request, by method and path (with its query); undefined when it is no call to a model. */
export function dialectFor(method: string, path: string): Dialect | undefined {
  return DIALECTS.find((dialect) => dialect.match(method, path))
}

/** The dialect of that name. Throws a FlowError for a name that is none: an addon has named it. */
export function dialectNamed(name: string): Dialect {
  const dialect = DIALECTS.find((known) => known.name === name)
  if (dialect) return dialect
  const names = DIALECTS.map((known) => known.name).join(", ")
  throw new FlowError("addon", "unknown-dialect", `no dialect named "${name}"; there are ${names}`)
}
