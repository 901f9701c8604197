/**
 * Conversations as the raw prompts that models were trained on, and the way back: answers without the marks of their
 * format. What the folder template/ has, in one place, and what addons get of it as "llmproxy/templates"; which host wants
 * which form is the caller's to know.
 */
import { DEEPSEEK_CODER } from "./deepseek.ts"
import { cutAt, StopCut } from "./stop-filter.ts"

export {
  type ChatTemplate,
  flattenMessages,
  type RenderedPrompt,
} from "./chat-template.ts"
export { DEEPSEEK_CODER, renderDeepseekCoder } from "./deepseek.ts"
export { jinjaTemplate } from "./jinja.ts"
export { TEMPLATES, templateForModel, templateNamed } from "./named.ts"

/** A whole answer up to the first of the stop strings. */
export function cleanOutput(text: string, stops: readonly string[] = DEEPSEEK_CODER.cut): string {
  return cutAt(text, stops)
}

/** Cuts a streamed answer at the first stop string, also one that comes in pieces; without, at DeepSeek-Coder's. */
export class StopFilter extends StopCut {
  constructor(stops: readonly string[] = DEEPSEEK_CODER.cut) {
    super(stops)
  }
}
