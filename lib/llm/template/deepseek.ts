/**
 * DeepSeek's earlier prompt formats: Coder instruct v1, and V2. deepseek-v3.ts has the later ones. The vertical bars and
 * the low lines of their tokens are U+FF5C and U+2581, those of `<|EOT|>` are ASCII.
 * Source: the chat templates in the models' tokenizer_config.json.
 */
import type { Message } from "../model.ts"
import {
  asText,
  type ChatTemplate,
  isSystem,
  type RenderedPrompt,
  type RenderOptions,
  turnsOf,
  wordsOf,
} from "./chat-template.ts"

const END_OF_TURN = "<|EOT|>"
export const END_OF_SENTENCE = "<｜end▁of▁sentence｜>"
const INSTRUCTION = "### Instruction:"
const RESPONSE = "### Response:"
const CODER_STOP = [END_OF_TURN, INSTRUCTION, END_OF_SENTENCE]

const DEEPSEEK_SYSTEM =
  "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and you " +
  "only answer questions related to computer science. For politically sensitive questions, security and privacy " +
  "issues, and other non-computer science questions, you will refuse to answer"

// What a completions server reads as control tokens wherever it stands, and the lines that begin a turn.
const CODER_TOKENS = /<(?=\|EOT\||｜(?:begin▁of▁sentence|end▁of▁sentence|fim▁begin|fim▁hole|fim▁end)｜>)/g
const TURN_LINES = /^(?=### (?:Instruction|Response):[ \t]*$)/gm
export const WIDE_TOKENS = /<(?=｜[^｜<>\s]{1,40}｜>)/g

// Answers of hosts that do not stop at the mark come back in the history with it.
const ENDED_TURN = /\n?<\|EOT\|>\s*$/

/** DeepSeek-Coder instruct v1. */
export const DEEPSEEK_CODER: ChatTemplate = {
  name: "deepseek-coder-instruct",
  stop: CODER_STOP,
  cut: CODER_STOP.flatMap((stop) => [`\n${stop}`, stop]),
  render: renderDeepseekCoder,
}

/**
 * As the model's own template renders it, save that a line break follows every system text (the template forgets it),
 * and that only the model speaks as the model: its template has every role but user and system do so, tools as well.
 * System texts stand where they stand in the list.
 */
export function renderDeepseekCoder(messages: readonly Message[], options: RenderOptions = {}): RenderedPrompt {
  let prompt = messages.some(isSystem) ? "" : systemLine(options.system ?? DEEPSEEK_SYSTEM)
  for (const { role, text } of wordsOf(turnsOf(messages))) {
    if (role === "system") prompt += systemLine(text)
    else if (role === "user") prompt += `${INSTRUCTION}\n${coderText(text)}\n`
    else prompt += `${RESPONSE}\n${coderText(text.replace(ENDED_TURN, ""))}\n${END_OF_TURN}\n`
  }
  return { prompt: `${prompt}${RESPONSE}\n`, stop: [...CODER_STOP] }
}

function systemLine(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`
}

function coderText(text: string): string {
  return asText(text, CODER_TOKENS).replace(TURN_LINES, " ")
}

const V2_STOP = [END_OF_SENTENCE]

/** DeepSeek-V2 and Coder-V2. No line break follows the end of a turn, no space the last colon. */
export const DEEPSEEK_V2: ChatTemplate = {
  name: "deepseek-v2",
  stop: V2_STOP,
  cut: V2_STOP,
  render(messages, options = {}) {
    const turns = wordsOf(turnsOf(messages))
    const own = turns.some(({ role }) => role === "system") ? "" : (options.system ?? "")
    let prompt = own === "" ? "" : `${own}\n\n`
    for (const { role, text } of turns) {
      if (role === "system") prompt += text === "" ? "" : `${text}\n\n`
      else if (role === "user") prompt += `User: ${asText(text, WIDE_TOKENS)}\n\n`
      else prompt += `Assistant: ${asText(text, WIDE_TOKENS)}${END_OF_SENTENCE}`
    }
    return { prompt: `${prompt}Assistant:`, stop: [...V2_STOP] }
  },
}
