/**
 * Conversations made from a seed: roles in any order, system texts anywhere, calls of tools and what came of them, empty
 * texts, white space at every edge. And a chat template in Jinja run over them as its model's maker meant it.
 */
import { Template } from "@huggingface/jinja"
import type { Message } from "../../../lib/llm/model.ts"
import { Random } from "../wire/generated-exchange.ts"

const TEXTS = [
  "",
  " ",
  "\n\n",
  "one",
  "two words",
  " before",
  "behind \n",
  "\n\nlines\nof text\n\n",
  "äöü 漢字 😀",
  "<think>\nhm\n</think>\n\nwell",
  "first</think>second</think>third",
  "### Response: 200 OK",
  "{{ braces }} {% and %} 'quotes'",
] as const

const CALLS = [
  { id: "a", type: "function", function: { name: "look", arguments: '{"at": "it"}' } },
  { id: "b", type: "function", function: { name: "wait", arguments: "{}" } },
]

/** Up to eight messages. Every second one alternates as most templates want it; the others are in any order. */
export function generatedConversation(seed: number): Message[] {
  const random = new Random(seed)
  const text = (): string => random.pick(...TEXTS)
  const messages: Message[] = random.below(2) === 0 ? [{ role: "system", content: text() }] : []
  const isOrderly = seed % 2 === 0
  const length = isOrderly ? 1 + 2 * random.below(3) : random.below(8)
  for (let at = 0; at < length; at++) {
    const role = isOrderly
      ? at % 2 === 0
        ? "user"
        : "assistant"
      : random.pick("system", "user", "user", "assistant", "assistant", "tool")
    const isCalling = !isOrderly && role === "assistant" && random.below(4) === 0
    messages.push({ role, content: text(), ...(isCalling ? { tool_calls: CALLS.slice(random.below(2)) } : {}) })
  }
  return messages
}

export interface Tokens {
  readonly bos: string
  readonly eos: string
}

/** What the model's own template gives, without the token of the beginning; undefined where it refuses the conversation. */
export function renderedBy(source: string, messages: readonly Message[], { bos, eos }: Tokens): string | undefined {
  const template = new Template(source)
  try {
    const prompt = template.render({
      messages: [...messages],
      bos_token: bos,
      eos_token: eos,
      add_generation_prompt: true,
    })
    return prompt.startsWith(bos) ? prompt.slice(bos.length) : prompt
  } catch {
    return undefined
  }
}
