/**
 * Chat templates in Jinja, as model files carry them and people write them: rendered with @huggingface/jinja, which is
 * loaded with the first one. A template is a program of its model's maker; it sees the messages and nothing else.
 */
import type { JsonObject } from "../../base/json.ts"
import { asText, type ChatTemplate, turnsOf } from "./chat-template.ts"
import { DEEPSEEK_CODER } from "./deepseek.ts"

export interface JinjaOptions {
  name?: string
  /** The token that ends a turn, where the model's maker keeps it apart from the template. */
  eosToken?: string
}

// What begins a text in the families there are: the server adds it, whether the template does or not.
const BEGINNINGS = ["<｜begin▁of▁sentence｜>", "<|begin_of_text|>", "<s>", "<bos>", "<|startoftext|>"]

// Tokens that end a turn, where the source has them.
const ENDINGS = [
  "<|EOT|>",
  "<|im_end|>",
  "<|eot_id|>",
  "<|end|>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<end_of_turn>",
  "<｜end▁of▁sentence｜>",
  "</s>",
]

const CONTROL_TOKEN = /<(?:[|｜][^|｜<>\s]{1,40}[|｜]|(?:start|end)_of_turn|\/?s)>|\[\/?INST\]/g

/**
 * The template in `source`. DeepSeek-Coder's is recognised and rendered by our own, which adds the line break that it
 * forgets. Rejects with an Error where the source is no template.
 */
export async function jinjaTemplate(source: string, options: JinjaOptions = {}): Promise<ChatTemplate> {
  const { name = "the host's own", eosToken = "" } = options
  if (source.includes("### Instruction:") && source.includes("<|EOT|>")) return DEEPSEEK_CODER
  const { Template } = await import("@huggingface/jinja")
  const template = new Template(source)
  const stop = [...new Set([eosToken, ...ENDINGS.filter((token) => source.includes(token))])].filter(Boolean)
  const known = [...new Set([...(source.match(CONTROL_TOKEN) ?? []), ...stop])]
  const tokens = known.length === 0 ? /$^/g : new RegExp(known.map(firstOf).join("|"), "g")
  return {
    name,
    stop,
    cut: stop.flatMap((token) => [`\n${token}`, token]),
    render(messages, { system } = {}) {
      const turns = turnsOf(messages).map(({ role, text }): JsonObject => {
        return { role, content: role === "system" ? text : asText(text, tokens) }
      })
      if (system && !turns.some(({ role }) => role === "system")) turns.unshift({ role: "system", content: system })
      const values = { messages: turns, bos_token: "", eos_token: eosToken, add_generation_prompt: true }
      const prompt = template.render(values)
      const beginning = BEGINNINGS.find((token) => prompt.startsWith(token)) ?? ""
      return { prompt: prompt.slice(beginning.length), stop: [...stop] }
    },
  }
}

/** The first character of a token, where the rest of it follows. */
function firstOf(token: string): string {
  const [first = "", ...rest] = [...token].map((char) => char.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
  return `${first}(?=${rest.join("")})`
}
