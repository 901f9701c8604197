/**
 * DeepSeek's prompt formats: Coder instruct v1, V2, and V3 with its successors R1 and V3.1. The vertical bars and the
 * low lines of their tokens are U+FF5C and U+2581, those of `<|EOT|>` are ASCII.
 * Source: the chat templates in the models' tokenizer_config.json.
 */
import type { Message } from "../model.ts"
import {
  asText,
  type ChatTemplate,
  isSystem,
  type RenderedPrompt,
  type RenderOptions,
  textOf,
  turnsOf,
} from "./chat-template.ts"

const END_OF_TURN = "<|EOT|>"
const END_OF_SENTENCE = "<｜end▁of▁sentence｜>"
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
const WIDE_TOKENS = /<(?=｜[^｜<>\s]{1,40}｜>)/g

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
 * As the model's own template renders it, save that a line break follows every system text (the template forgets it).
 * Every role but user, system and developer speaks as the model. System texts stand where they stand in the list.
 */
export function renderDeepseekCoder(messages: readonly Message[], options: RenderOptions = {}): RenderedPrompt {
  let prompt = messages.some(isSystem) ? "" : systemLine(options.system ?? DEEPSEEK_SYSTEM)
  for (const message of messages) {
    const text = textOf(message.content)
    if (isSystem(message)) prompt += systemLine(text)
    else if (message.role === "user") prompt += `${INSTRUCTION}\n${coderText(text)}\n`
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
    const turns = turnsOf(messages)
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

const V3_STOP = [END_OF_SENTENCE, "<｜User｜>"]

/** What stands between the mark of the model's turn and its words, in the history and at the prompt's end. */
interface Thinking {
  readonly said: string
  readonly next: string
}

export const DEEPSEEK_V3 = v3("deepseek-v3", { said: "", next: "" })
/** The model thinks first; its history has the answers without the thoughts. */
export const DEEPSEEK_R1 = v3("deepseek-r1", { said: "", next: "<think>\n" })
/** Without thinking. */
export const DEEPSEEK_V3_1 = v3("deepseek-v3.1", { said: "</think>", next: "</think>" })

/** System texts, wherever they stand, come first, with an empty line between them and none behind. */
function v3(name: string, { said, next }: Thinking): ChatTemplate {
  return {
    name,
    stop: V3_STOP,
    cut: V3_STOP,
    render(messages, options = {}) {
      const turns = turnsOf(messages)
      const systems = turns.filter(({ role }) => role === "system").map(({ text }) => text)
      let prompt = systems.length === 0 ? (options.system ?? "") : systems.filter((text) => text !== "").join("\n\n")
      for (const { role, text } of turns) {
        if (role === "user") prompt += `<｜User｜>${asText(text, WIDE_TOKENS)}`
        if (role === "assistant")
          prompt += `<｜Assistant｜>${said}${asText(afterThoughts(text), WIDE_TOKENS)}${END_OF_SENTENCE}`
      }
      return { prompt: `${prompt}<｜Assistant｜>${next}`, stop: [...V3_STOP] }
    },
  }
}

function afterThoughts(text: string): string {
  const end = text.lastIndexOf("</think>")
  return end === -1 ? text : text.slice(end + "</think>".length)
}
