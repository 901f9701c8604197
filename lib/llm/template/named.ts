/**
 * The prompt formats by name, and which of them a model's name stands for. A name that says nothing gets none: a wrong
 * format is worse than to let the host render the messages.
 */
import type { ChatTemplate } from "./chat-template.ts"
import { DEEPSEEK_CODER, DEEPSEEK_V2 } from "./deepseek.ts"
import { DEEPSEEK_R1, DEEPSEEK_V3, DEEPSEEK_V3_1 } from "./deepseek-v3.ts"
import { ALPACA, CHATML, LLAMA_2, LLAMA_3, MISTRAL } from "./formats.ts"

export const TEMPLATES: readonly ChatTemplate[] = [
  DEEPSEEK_CODER,
  DEEPSEEK_V2,
  DEEPSEEK_V3,
  DEEPSEEK_R1,
  DEEPSEEK_V3_1,
  CHATML,
  LLAMA_2,
  LLAMA_3,
  MISTRAL,
  ALPACA,
]

// The first that fits decides. Base models continue a text and know no format; R1's distilled models have others.
const BY_MODEL: readonly (readonly [RegExp, ChatTemplate | undefined])[] = [
  [/[-_.:]base\b|distill/, undefined],
  [/deepseek-(?:coder-)?v2/, DEEPSEEK_V2],
  [/deepseek-v3[.-]1(?!\d)/, DEEPSEEK_V3_1],
  [/deepseek-v3(?![.-]\d(?!\d))/, DEEPSEEK_V3],
  [/deepseek-r1/, DEEPSEEK_R1],
  [/deepseek-?coder/, DEEPSEEK_CODER],
  [/qwen|hermes|dolphin|openchatml|chatml/, CHATML],
  [/llama-?3/, LLAMA_3],
  [/codellama|llama-?2/, LLAMA_2],
  [/mistral-7b|mixtral/, MISTRAL],
  [/alpaca/, ALPACA],
]

export function templateNamed(name: string): ChatTemplate | undefined {
  return TEMPLATES.find((template) => template.name === name)
}

/** By the model's name, as hosts write it ("deepseek-coder:6.7b", "TheBloke/deepseek-coder-6.7B-instruct-GGUF"). */
export function templateForModel(model: string): ChatTemplate | undefined {
  const name = model.toLowerCase().replace(/[_ ]/g, "-")
  return BY_MODEL.find(([pattern]) => pattern.test(name))?.[1]
}
