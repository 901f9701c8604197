/**
 * The prompt formats of the other model families that people run: ChatML, Llama 2, Llama 3, Mistral, Alpaca. Each is a
 * value; what they share is in chat-template.ts. Llama 2 and Mistral have no place for a system text of its own: it
 * stands before the first words of the user.
 * Source: the models' chat templates, as published with them.
 */
import { asText, type ChatTemplate, turnsOf, voiceOf, type Words } from "./chat-template.ts"

interface Format {
  readonly name: string
  readonly stop: readonly string[]
  readonly cut?: readonly string[]
  /** The first characters of control tokens, and of lines that begin a turn. */
  readonly tokens: RegExp
  /** The model's own system text. */
  readonly system?: string
  /** The role under which its models know what came of a tool. Without one it is the user who tells it. */
  readonly tool?: string
  /** The whole prompt; only system texts hold control tokens. */
  write(turns: readonly Said[]): string
}

interface Said extends Words {
  /** The role as the format writes it. */
  readonly name: string
}

function format({ name, stop, cut = stop, tokens, system: own = "", tool = "user", write }: Format): ChatTemplate {
  return {
    name,
    stop,
    cut,
    render(messages, options = {}) {
      const said = turnsOf(messages).map(({ role, text }): Said => {
        const words = role === "system" ? text : asText(text, tokens)
        return { role: voiceOf(role), name: role === "tool" ? tool : role, text: words }
      })
      const system = options.system ?? own
      const isOwn = system !== "" && !said.some(({ role }) => role === "system")
      const turns: Said[] = isOwn ? [{ role: "system", name: "system", text: system }, ...said] : said
      return { prompt: write(turns), stop: [...stop] }
    },
  }
}

/** Qwen, Yi, Hermes and many fine-tunes. */
export const CHATML = format({
  name: "chatml",
  stop: ["<|im_end|>", "<|im_start|>", "<|endoftext|>"],
  tokens: /<(?=\|(?:im_start|im_end|endoftext)\|>)/g,
  tool: "tool",
  write: (turns) =>
    `${turns.map(({ name, text }) => `<|im_start|>${name}\n${text}<|im_end|>\n`).join("")}<|im_start|>assistant\n`,
})

export const LLAMA_3 = format({
  name: "llama-3",
  stop: ["<|eot_id|>", "<|end_of_text|>", "<|start_header_id|>"],
  tokens: /<(?=\|(?:begin_of_text|end_of_text|start_header_id|end_header_id|eot_id|eom_id|python_tag)\|>)/g,
  tool: "ipython",
  write(turns) {
    const header = (role: string) => `<|start_header_id|>${role}<|end_header_id|>\n\n`
    return `${turns.map(({ name, text }) => `${header(name)}${text.trim()}<|eot_id|>`).join("")}${header("assistant")}`
  },
})

const BRACKETS = /<(?=\/?s>|<\/?SYS>>)|\[(?=\/?INST\])/g
const BRACKETS_STOP = ["</s>", "[INST]"]

/**
 * Also Code Llama. Every exchange but the first begins with the token of a beginning. White space is taken off around a
 * question and the system text before it together, and around an answer.
 */
export const LLAMA_2 = format({
  name: "llama-2",
  stop: BRACKETS_STOP,
  tokens: BRACKETS,
  write: (turns) =>
    exchangesOf(turns)
      .map(({ system, user, answer }, at) => {
        const before = system === "" ? "" : `<<SYS>>\n${system}\n<</SYS>>\n\n`
        const after = answer === undefined ? "" : ` ${answer.trim()} </s>`
        return `${at === 0 ? "" : "<s>"}[INST] ${(before + user).trim()} [/INST]${after}`
      })
      .join(""),
})

/** Mistral and Mixtral instruct, v0.1 and v0.2. */
export const MISTRAL = format({
  name: "mistral",
  stop: BRACKETS_STOP,
  tokens: BRACKETS,
  write: (turns) =>
    exchangesOf(turns)
      .map(({ system, user, answer }) => {
        const words = [system, user].filter((text) => text !== "").join("\n\n")
        return `[INST] ${words} [/INST]${answer === undefined ? "" : ` ${answer.trim()}</s>`}`
      })
      .join(""),
})

const ALPACA_STOP = ["### Instruction:", "</s>"]

/** Also many early fine-tunes of Llama. */
export const ALPACA = format({
  name: "alpaca",
  stop: ALPACA_STOP,
  cut: ALPACA_STOP.flatMap((stop) => [`\n\n${stop}`, `\n${stop}`, stop]),
  tokens: /<(?=\/?s>)|^(?=### (?:Instruction|Input|Response):[ \t]*$)/gm,
  system: "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
  write(turns) {
    const names = { user: "### Instruction:\n", assistant: "### Response:\n", system: "" }
    return `${turns
      .filter(({ role, text }) => role !== "system" || text !== "")
      .map(({ role, text }) => `${names[role]}${text}\n\n`)
      .join("")}### Response:\n`
  },
})

interface Exchange {
  readonly system: string
  readonly user: string
  readonly answer: string | undefined
}

/** Pairs of a question and its answer; system texts stand in the pair that follows them. */
function exchangesOf(turns: readonly Words[]): Exchange[] {
  const exchanges: Exchange[] = []
  let system: string[] = []
  let user: string[] = []
  for (const { role, text } of turns) {
    if (role === "system") system.push(text)
    else if (role === "user") user.push(text)
    else {
      exchanges.push({ system: joined(system), user: joined(user), answer: text })
      system = []
      user = []
    }
  }
  return [...exchanges, { system: joined(system), user: joined(user), answer: undefined }]
}

function joined(texts: readonly string[]): string {
  return texts.filter((text) => text !== "").join("\n\n")
}
