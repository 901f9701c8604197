/**
 * The decision by tokens: whether a request and its answer fit a local host. Pure.
 * What is always counted, never guessed from bytes, because the count stands in a header and in the reason; the
 * counter remembers messages, so a conversation that comes again costs its new ones only.
 */
import type { TokenCount } from "llmproxy"
import type { Ratio } from "./ratios.ts"

/** What a prompt measures in the local model's tokens. */
export interface Measure {
  /** As counted with OpenAI's tokenizer. */
  readonly tokens: number
  /** In the local model's tokens. */
  readonly prompt: number
  /** How surely, for people; "" where nothing is known but the option's ratio. */
  readonly said: string
}

export interface Limits {
  readonly answerReserve: number
  /** Tokens that prompt and answer may be together. */
  readonly limit: number
}

export interface Room {
  readonly tokens: number
  /** What the request and its answer need, in the local model's tokens. */
  readonly needed: number
  readonly limit: number
  readonly fits: boolean
  /** Tokens that are left for the answer; at least 1. */
  readonly left: number
  readonly said: string
}

export function estimated(tokens: number, { value, samples }: Ratio): Measure {
  const said = samples === 0 ? "" : `tokens x ${value.toFixed(2)}, learnt from ${samples} answers`
  return { tokens, prompt: tokens * value, said }
}

export function countedBy(host: string, tokens: number, prompt: number): Measure {
  return { tokens, prompt, said: `counted by ${host}` }
}

/** With the model's own vocabulary, whose name it is. */
export function countedWith(name: string, tokens: number, { tokens: prompt, confidence }: TokenCount): Measure {
  return { tokens, prompt, said: `${confidence === "exact" ? "counted" : "estimated"} with ${name}` }
}

/** `asked`: the tokens that the client wants for the answer at most; undefined when it does not say. */
export function roomFor({ tokens, prompt, said }: Measure, asked: number | undefined, limits: Limits): Room {
  const { answerReserve, limit } = limits
  const needed = prompt + Math.min(asked ?? answerReserve, answerReserve)
  return {
    tokens,
    needed: Math.ceil(needed),
    limit,
    fits: needed < limit,
    left: Math.max(1, Math.floor(limit - prompt)),
    said,
  }
}

export function whyLocal({ needed, limit, said }: Room): string {
  return `needs ${needed} of ${limit} tokens${inBrackets(said)}`
}

export function whyCloud({ needed, limit, said }: Room): string {
  return `needs ${needed} tokens, the local host takes less than ${limit}${inBrackets(said)}`
}

function inBrackets(said: string): string {
  return said === "" ? "" : ` (${said})`
}

/** OpenAI's sentence for a prompt that is too long, which clients search for, and what to do. `stays`: whatever comes. */
export function tooLong({ tokens, needed, limit }: Room, stays: boolean): string {
  const advice = stays
    ? "Reduce the length of the messages."
    : "Reduce the length of the messages, or set OPENAI_API_KEY so that llmproxy can send such requests to the cloud."
  return (
    `This model's maximum context length is ${limit} tokens. However, your messages resulted in ${tokens} tokens, ` +
    `and the local model needs ${needed} of its own for them and its answer. ${advice}`
  )
}
