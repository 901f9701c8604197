/**
 * The models' own chat templates beside our formats: what each is given and what of it ours is to be. Every difference
 * that is meant stands here, and nowhere else is one allowed. The templates themselves are not in this repository:
 * test/fixtures/templates has what they made of generated conversations, and LLMPROXY_TEST_TEMPLATES may name a folder
 * with NAME.jinja files for more of them.
 */
import { textOf } from "../../../lib/llm/message-text.ts"
import type { Message } from "../../../lib/llm/model.ts"
import type { Tokens } from "./conversations.ts"

export interface OwnTemplate {
  readonly name: string
  /** Where the template was read, November 2026. */
  readonly source: string
  readonly tokens: Tokens
  /** The conversation as the own template gets it. Default: without empty system texts, which for us are none. */
  given?(messages: readonly Message[]): readonly Message[]
  /** Our prompt, where the own one is `own`; undefined where the two are not to be compared. Default: the same. */
  ours?(own: string, messages: readonly Message[]): string | undefined
}

const DEEPSEEK: Tokens = { bos: "<｜begin▁of▁sentence｜>", eos: "<｜end▁of▁sentence｜>" }
const SENTENCEPIECE: Tokens = { bos: "<s>", eos: "</s>" }

const role = (from: string, to: string) => (messages: readonly Message[]) =>
  messages.map((message) => (message.role === from ? { ...message, role: to } : message))

/** A tool's output is said by the user: these templates drop it, refuse it or (DeepSeek-Coder) have the model say it. */
const toldByUser = role("tool", "user")

function withoutEmptySystem(messages: readonly Message[]): readonly Message[] {
  return messages.filter((message) => message.role !== "system" || textOf(message.content) !== "")
}

export const OWN_TEMPLATES: readonly OwnTemplate[] = [
  {
    name: "chatml",
    source: "teknium/OpenHermes-2.5-Mistral-7B, in llama.cpp tests/test-chat-template.cpp",
    tokens: { bos: "<s>", eos: "<|im_end|>" },
    given: (messages) => messages,
  },
  {
    name: "llama-3",
    source: "Meta-Llama-3-8B-Instruct, in llama.cpp tests/test-chat-template.cpp",
    tokens: { bos: "<|begin_of_text|>", eos: "<|eot_id|>" },
    // Llama 3 knew no tools; since 3.1 the role of what they give is "ipython".
    given: role("tool", "ipython"),
  },
  {
    name: "llama-2",
    source: "meta-llama/Llama-2-13b-chat-hf, in chujiezheng/chat_templates and others",
    tokens: SENTENCEPIECE,
    given: (messages) => toldByUser(withoutEmptySystem(messages)),
    ours(own, messages) {
      // @huggingface/jinja takes a system text of white space for false, as JavaScript does and Python does not.
      if (messages[0]?.role === "system" && textOf(messages[0].content).trim() === "") return undefined
      return asking(own, messages, "<s>[INST]  [/INST]")
    },
  },
  {
    name: "mistral",
    source: "mistralai/Mistral-7B-Instruct-v0.2, in llama.cpp tests/test-chat-template.cpp",
    tokens: SENTENCEPIECE,
    // Answers come back with the space that the format puts before them: it is not put there twice.
    given: (messages) =>
      toldByUser(withoutEmptySystem(messages)).map((message) =>
        message.role === "assistant" ? { ...message, content: textOf(message.content).trim() } : message,
      ),
    ours(own, messages) {
      // An empty question leaves no empty lines behind the system text.
      const prompt = messages[1]?.content === "" && messages[0]?.role === "system" ? own.replace("\n\n [/", " [/") : own
      // The space before "[INST]" is the one that SentencePiece puts there itself.
      return asking(prompt.replaceAll(" [INST]", "[INST]"), messages, "[INST]  [/INST]")
    },
  },
  {
    name: "deepseek-v2",
    source: "deepseek-ai/DeepSeek-V2, in llama.cpp tests/test-chat-template.cpp",
    tokens: DEEPSEEK,
    given: (messages) => toldByUser(withoutEmptySystem(messages)),
  },
  {
    name: "deepseek-coder-instruct",
    source: "deepseek-ai/deepseek-coder-33b-instruct, in llama.cpp tests/test-chat-template.cpp",
    tokens: { bos: DEEPSEEK.bos, eos: "<|EOT|>" },
    // The line break behind a system text is forgotten by the template, not by what the model was trained on.
    given: (messages) =>
      toldByUser(messages).map((message) => {
        const text = textOf(message.content)
        return message.role === "system" && /[^\n]$/.test(text) ? { ...message, content: `${text}\n` } : message
      }),
  },
  {
    name: "deepseek-v3",
    source: "deepseek-ai/DeepSeek-V3-0324, in the metadata of unsloth/DeepSeek-V3-0324-GGUF",
    tokens: DEEPSEEK,
    given: withoutEmptySystem,
    ours: (own, messages) => (isCalledFor(messages, true) ? own : undefined),
  },
  {
    name: "deepseek-r1",
    source: "deepseek-ai/DeepSeek-R1, in mindspore-courses/step_into_llm",
    tokens: DEEPSEEK,
    given: withoutEmptySystem,
    // The template forgets the marks around a second round of calls, and that a round ended in further calls.
    ours: (own, messages) => (isCalledFor(messages, false) ? own : undefined),
  },
  {
    name: "deepseek-v3.1",
    source: "deepseek-ai/DeepSeek-V3.1, in llama.cpp models/templates",
    tokens: DEEPSEEK,
    given: withoutEmptySystem,
    // The template leads the model to its words behind a user only; whoever asks us wants them behind its own, too.
    ours(own, messages) {
      const last = messages.findLast(({ role }) => role !== "system")?.role
      return last === "user" || last === "tool" ? own : `${own}<｜Assistant｜></think>`
    },
  },
]

/**
 * These templates end where the model has spoken last, as if it went on; ours ask it for more. They drop a system text
 * that stands where an answer would; ours say it before the next question.
 */
function asking(own: string, messages: readonly Message[], question: string): string | undefined {
  if (messages.slice(1).some(({ role }) => role === "system")) return undefined
  const last = messages.at(-1)?.role
  if (last === "user") return own
  return last === "assistant" ? own + question : undefined
}

/**
 * Whether every output follows its call, and the model's words an output: else these templates leave their outputs open,
 * or do not open them. Ours are always closed.
 */
function isCalledFor(messages: readonly Message[], isRepeated: boolean): boolean {
  const spoken = messages.filter(({ role }) => role !== "system")
  const rounds = spoken.filter(({ tool_calls: calls }) => calls !== undefined).length
  if (!isRepeated && rounds > 1) return false
  return spoken.every(({ role }, at) => {
    const before = spoken[at - 1]
    if (role === "tool") return before?.role === "tool" || before?.tool_calls !== undefined
    return before?.role !== "tool" || role === "assistant"
  })
}
