/**
 * Whether a request fits, in the model's tokens, and which of its messages do: counted with OpenAI's tokenizer, and multiplied by what
 * the options say of the model's own. What cannot be too long by its bytes is not counted.
 */
import { type Fit, fitMessages, type LlmRequest, type Message, type TokenService } from "llmproxy"
import { type FitOptions, reserveFor } from "./options.ts"

export interface Measure {
  /** Of the prompt, in the model's tokens. */
  readonly prompt: number
  /** Kept free for the answer. */
  readonly reserve: number
  /** Prompt and answer together, that the model takes. */
  readonly context: number
}

type Counter = Pick<TokenService, "countRequest" | "boundRequest">

/** Undefined: it fits. */
export async function overflowOf(
  request: LlmRequest,
  context: number,
  options: Pick<FitOptions, "reserve" | "ratio">,
  tokens: Counter,
): Promise<Measure | undefined> {
  const reserve = reserveFor(options, context, request.maxTokens)
  if (tokens.boundRequest(request) * options.ratio + reserve <= context) return undefined
  const prompt = Math.ceil((await tokens.countRequest(request)).tokens * options.ratio)
  return prompt + reserve <= context ? undefined : { prompt, reserve, context }
}

/** Dialects whose requests are a list of messages. */
const CHATS: ReadonlySet<string> = new Set(["openai-chat", "anthropic-messages", "ollama"])

/** Whether messages can be left out of it. */
export function isChat({ dialect, body }: LlmRequest): boolean {
  return CHATS.has(dialect) && Array.isArray(body.messages)
}

/** What can be kept. Sums are in the model's tokens, and of the whole prompt. */
export async function trimmed(
  request: LlmRequest,
  { prompt, reserve, context }: Measure,
  { ratio }: Pick<FitOptions, "ratio">,
  tokens: Counter,
): Promise<Fit> {
  const { messages, model } = request
  const [none = 0, ...each] = await Promise.all(
    [[], ...messages.map((message) => [message])].map(
      async (some) => (await tokens.countRequest(only(model, some))).tokens,
    ),
  )
  const counts = each.map((count) => Math.max(0, count - none) * ratio)
  // Tools, a system prompt beside the messages, what the form costs.
  const besides = Math.max(0, prompt - counts.reduce((sum, count) => sum + count, 0))
  const fit = fitMessages(messages, counts, context - reserve - besides)
  return { ...fit, keptTokens: Math.ceil(fit.keptTokens + besides), leastTokens: Math.ceil(fit.leastTokens + besides) }
}

/** A request of these messages and nothing else, to be counted. */
function only(model: string, messages: Message[]): LlmRequest {
  const nothing = { system: undefined, tools: undefined, maxTokens: undefined, temperature: undefined, topP: undefined }
  return { dialect: "openai-chat", body: { model }, model, messages, stream: false, stop: undefined, n: 1, ...nothing }
}
