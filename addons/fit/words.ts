/** What clients are told of a request that does not fit: in sentences that they know, with the numbers. Pure. */
import type { DialectName } from "llmproxy"
import type { Measure } from "./measure.ts"

/** The answer's field that says what was done. */
export const FIELD = "x-llmproxy-fit"

/** OpenAI's sentence, or Anthropic's: clients look for them, and shorten by the numbers. `why`: what else there is to say. */
export function tooLong(dialect: DialectName, { prompt, reserve, context }: Measure, why = ""): string {
  const more = why === "" ? "" : ` ${why}`
  const needed = prompt + reserve
  if (dialect === "anthropic-messages")
    return `prompt is too long: ${needed} tokens > ${context} maximum (${prompt} in the prompt, ${reserve} for the answer).${more}`
  return (
    `This model's maximum context length is ${context} tokens. However, you requested ${needed} tokens ` +
    `(${prompt} in the messages, ${reserve} in the completion). Please reduce the length of the messages or completion.${more}`
  )
}

export function needs({ prompt, reserve, context }: Measure): string {
  return `needs ${prompt + reserve} tokens, the model takes ${context}`
}

export function messagesWord(count: number): string {
  return `${count} ${count === 1 ? "message" : "messages"}`
}
