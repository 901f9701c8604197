/**
 * A request to Anthropic's Messages API. The system prompt stands beside the messages, as text or as blocks; the
 * messages are the body's own list. Source: Anthropic's API reference, "Create a message".
 */
import { arrayOf, type JsonObject, type JsonValue, objectOf, stringOf } from "../../base/json.ts"
import { RequestView } from "../request-view.ts"
import { MESSAGES_TOOLS } from "../tools.ts"

const NAMES = { maxTokens: "max_tokens", stop: "stop_sequences", tools: MESSAGES_TOOLS }

/** Between the texts of two system blocks. */
const BLOCK_BREAK = "\n"

export class MessagesRequest extends RequestView {
  override readonly dialect = "anthropic-messages"

  constructor(body: JsonObject) {
    super(body, NAMES)
  }

  /** The text, or the texts of the blocks on lines of their own. */
  override get system(): string | undefined {
    const { system } = this.body
    return Array.isArray(system) ? textOfBlocks(system) : stringOf(system)
  }

  /**
   * Text behind blocks becomes a block of its own, and one block keeps its cache mark: the prompt's cached beginning
   * stays what it was. Any other change of several blocks makes them one text.
   */
  override set system(value: string | undefined) {
    const { system } = this.body
    if (value === undefined || !Array.isArray(system)) {
      this.assign("system", value)
      return
    }
    const old = textOfBlocks(system) ?? ""
    const [only] = system
    if (value === old) return
    if (old !== "" && value.startsWith(old + BLOCK_BREAK))
      system.push({ type: "text", text: value.slice(old.length + BLOCK_BREAK.length) })
    else if (system.length === 1 && objectOf(only)?.type === "text") Object.assign(only ?? {}, { text: value })
    else this.body.system = value
  }
}

function textOfBlocks(blocks: readonly JsonValue[]): string | undefined {
  const texts = arrayOf(blocks).flatMap((block) => stringOf(objectOf(block)?.text) ?? [])
  return texts.length === 0 ? undefined : texts.join(BLOCK_BREAK)
}
