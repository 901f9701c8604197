/**
 * A conversation as the prompt that the model was trained on: by the chat template in its own file, else by ChatML, as llama.cpp
 * does. The texts of control tokens that stand in what people have written stay texts: a message cannot end itself and begin
 * another one's.
 */
import { isObject, type JsonObject, type JsonValue } from "llmproxy"
import type { ModelFacts, PromptPiece } from "./messages.ts"
import { badField, type Refusal } from "./refusal.ts"

const CHATML =
  "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

/** How a template's models write their calls; undefined: it has no place for tools. */
export type ToolStyle = "hermes" | "llama3" | "mistral"

/** Around the number of a text that is no token: private use, which nobody's texts need. */
const OPEN = "\uE000"
const CLOSE = "\uE001"

export interface Conversation {
  readonly messages: readonly JsonObject[]
  readonly tools: readonly JsonObject[]
}

export interface Rendered {
  readonly prompt: readonly PromptPiece[]
  /** How calls are told from texts; undefined: no tools were given. */
  readonly style: ToolStyle | undefined
}

function toolStyle(template: string | undefined): ToolStyle | undefined {
  if (template === undefined || !/\btools\b/.test(template)) return undefined
  if (template.includes("<tool_call>")) return "hermes"
  if (template.includes("[TOOL_CALLS]")) return "mistral"
  return template.includes("<|start_header_id|>") ? "llama3" : undefined
}

export async function renderPrompt(
  { template, bos, eos, controls }: ModelFacts,
  { messages, tools }: Conversation,
): Promise<Rendered | Refusal> {
  const style = toolStyle(template)
  if (tools.length > 0 && style === undefined)
    return badField("tools", "the chat template of this model has no tools; leave them out, or ask another model")
  const { Template } = await import("@huggingface/jinja")
  const guard = new Guard(controls.length === 0 ? ["<|im_start|>", "<|im_end|>"] : controls)
  const values = {
    messages: guard.hide([...messages]),
    ...(tools.length > 0 && { tools: guard.hide([...tools]) }),
    add_generation_prompt: true,
    bos_token: bos,
    eos_token: eos,
  }
  try {
    return {
      prompt: guard.pieces(new Template(template ?? CHATML).render(values)),
      style: tools.length > 0 ? style : undefined,
    }
  } catch (thrown) {
    // As where roles have to take turns: templates say so by raise_exception.
    return badField(
      "messages",
      `the model's chat template takes none such: ${thrown instanceof Error ? thrown.message : thrown}`,
    )
  }
}

/** Hides the texts of control tokens, and finds them again in what a template has made. */
class Guard {
  readonly #pattern: RegExp
  readonly #hidden: string[] = []

  constructor(controls: readonly string[]) {
    // The longest first, so that none hides the beginning of another one.
    const texts = [...controls].sort((one, other) => other.length - one.length)
    this.#pattern = new RegExp(texts.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "g")
  }

  hide<T extends JsonValue>(value: T[]): JsonValue[] {
    return value.map((one) => this.#hide(one))
  }

  #hide(value: JsonValue): JsonValue {
    if (typeof value === "string")
      return value
        .replaceAll(OPEN, "")
        .replace(this.#pattern, (text) => `${OPEN}${this.#hidden.push(text) - 1}${CLOSE}`)
    if (Array.isArray(value)) return value.map((one) => this.#hide(one))
    if (!isObject(value)) return value
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, this.#hide(one ?? null)]))
  }

  pieces(prompt: string): PromptPiece[] {
    const [first = "", ...rest] = prompt.split(OPEN)
    const pieces = [{ text: first, isMarkup: true }]
    for (const part of rest) {
      const end = part.indexOf(CLOSE)
      pieces.push({ text: this.#hidden[Number(part.slice(0, end))] ?? "", isMarkup: false })
      pieces.push({ text: part.slice(end + 1), isMarkup: true })
    }
    return pieces.filter(({ text }) => text !== "")
  }
}
