/**
 * The decision by tokens: whether a request and its answer fit the local host. Pure.
 * What is always counted, never guessed from bytes, because the count stands in a header and in the reason; the
 * counter remembers messages, so a conversation that comes again costs its new ones only.
 */
import type { ConductorOptions } from "./options.ts"

type Limits = Pick<ConductorOptions, "tokenRatio" | "answerReserve" | "maxTokenCount">

export interface Room {
  /** As counted with OpenAI's tokenizer. */
  readonly tokens: number
  /** What the request and its answer need, in the local model's tokens. */
  readonly needed: number
  readonly limit: number
  readonly fits: boolean
  /** Tokens that are left for the answer; at least 1. */
  readonly left: number
}

/** `asked`: the tokens that the client wants for the answer at most; undefined when it does not say. */
export function roomFor(tokens: number, asked: number | undefined, limits: Limits): Room {
  const { tokenRatio, answerReserve, maxTokenCount } = limits
  const prompt = tokens * tokenRatio
  const needed = prompt + Math.min(asked ?? answerReserve, answerReserve)
  return {
    tokens,
    needed: Math.ceil(needed),
    limit: maxTokenCount,
    fits: needed < maxTokenCount,
    left: Math.max(1, Math.floor(maxTokenCount - prompt)),
  }
}

export function whyLocal({ needed, limit }: Room): string {
  return `needs ${needed} of ${limit} tokens`
}

export function whyCloud({ needed, limit }: Room): string {
  return `needs ${needed} tokens, the local host takes less than ${limit}`
}

/** OpenAI's sentence for a prompt that is too long, which clients search for, and what to do. */
export function tooLong({ tokens, needed, limit }: Room): string {
  return (
    `This model's maximum context length is ${limit} tokens. However, your messages resulted in ${tokens} tokens, ` +
    `which with room for the answer is ${needed} of the local model's. Reduce the length of the messages, or ` +
    "set OPENAI_API_KEY so that llmproxy can send such requests to the cloud."
  )
}
