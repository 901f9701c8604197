/**
 * What of a conversation is sent: its newest whole turns that fit, with the system's and the user's first message, and tool calls
 * with their results.
 */
import { fitMessages, type LlmRequest, type Message, type TokenService } from "llmproxy"

/** Tokens of a model's context that are kept free for an answer, and at most which part of it. */
const RESERVE = 1_024
const RESERVE_PART = 0.25

export interface Window {
  readonly messages: Message[]
  /** Messages that are left out. */
  readonly left: number
}

/** `limit`: the tokens that they may be together; undefined: all are sent. */
export async function windowOf(
  messages: readonly Message[],
  limit: number | undefined,
  tokens: Pick<TokenService, "countRequest" | "boundRequest">,
): Promise<Window> {
  const all = { messages: [...messages], left: 0 }
  if (limit === undefined || tokens.boundRequest(requestOf(messages)) <= limit) return all
  const [none = 0, ...each] = await Promise.all(
    [[], ...messages.map((message) => [message])].map(
      async (some) => (await tokens.countRequest(requestOf(some))).tokens,
    ),
  )
  const counts = each.map((count) => Math.max(0, count - none))
  const { kept, dropped } = fitMessages(messages, counts, limit - none)
  return { messages: kept.flatMap((index) => messages[index] ?? []), left: dropped.length }
}

/** What a prompt may be, of a model's context. */
export function promptLimit(context: number): number {
  return context - Math.min(RESERVE, Math.floor(context * RESERVE_PART))
}

/** A request of these messages and nothing else, to be counted. */
export function requestOf(messages: readonly Message[]): LlmRequest {
  const nothing = { system: undefined, tools: undefined, maxTokens: undefined, temperature: undefined, topP: undefined }
  const form = { stream: false, stop: undefined, n: 1, model: "" }
  return { dialect: "openai-chat", body: {}, messages: [...messages], ...form, ...nothing }
}
