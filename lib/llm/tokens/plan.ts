/**
 * What of a request has to be counted: its texts, and the tokens that its form costs whatever the texts are. Follows
 * OpenAI's rules for messages; tool-schema.ts has those for tools and media.ts those for images. Counts nothing itself,
 * so that one walk serves the exact count, the bound by bytes and the estimate.
 * Source: OpenAI cookbook, "How to count tokens with tiktoken".
 */
import { arrayOf, isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../../base/json.ts"
import type { LlmRequest, Message } from "../model.ts"
import { encodingFor } from "./encodings.ts"
import { audioTokens, FILE_TOKENS, imageTokens } from "./media.ts"
import { jsonText, planTools } from "./tool-schema.ts"

const MESSAGE_TOKENS = 3
const NAME_TOKENS = 1
const REPLY_TOKENS = 3
const CALL_TOKENS = 3

// Texts past these (1,000 short messages) are estimated at once: to look one up and remember it takes 3 microseconds.
const TEXTS_MAX = 2_000

// gpt-tokenizer gives English a token per 4 bytes and Chinese one per 2 to 3: errs on the high side for most text.
const BYTES_PER_TOKEN = 3

/** A guess that needs no tokenizer. */
export function estimateText(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN)
}

// What Go's templates replace with something else, which is counted by itself. Bounded, so that it is linear.
const TEMPLATE_ACTION = /\{\{[^{}]{0,1000}\}\}/g

/** The texts to count, and the rest of the sum. */
export class CountPlan {
  readonly texts: string[] = []
  /** Tokens that need no tokenizer. */
  fixed = 0
  /** Whether a part of the sum follows no documented rule. */
  estimated = false

  text(text: string | null | undefined): void {
    if (text === undefined || text === null || text === "") return
    if (this.texts.length < TEXTS_MAX) {
      this.texts.push(text)
      return
    }
    this.fixed += estimateText(text)
    this.estimated = true
  }

  /** Tokens of something that only an approximation exists for. */
  approximate(tokens: number): void {
    this.fixed += tokens
    this.estimated = true
  }
}

export function planRequest(request: LlmRequest): CountPlan {
  const plan = new CountPlan()
  const { body } = request
  if (request.dialect === "openai-completions" || request.dialect === "llamacpp" || isRaw(request)) {
    planPrompt(plan, body.prompt)
    plan.text(stringOf(body.suffix))
    return plan
  }
  const model = request.model
  planApartSystem(plan, request)
  for (const message of request.messages) planMessage(plan, message, model)
  plan.fixed += REPLY_TOKENS
  const tools = [...(request.tools ?? []).map(({ raw }) => raw), ...arrayOf(request.body.functions)]
  planTools(plan, tools, encodingFor(model).encoding)
  for (const format of [
    body.response_format,
    objectOf(body.text)?.format,
    objectOf(body.output_config)?.format,
    body.format,
  ])
    planFormat(plan, format)
  if (request.dialect === "ollama") planGenerate(plan, body)
  return plan
}

/** Ollama's word for a prompt that its template is not laid around. */
function isRaw({ dialect, body }: LlmRequest): boolean {
  return dialect === "ollama" && body.raw === true
}

/** What /api/generate has beside the prompt: a form of the client's own, what follows the answer, an earlier turn. */
function planGenerate(plan: CountPlan, body: JsonObject): void {
  plan.text(stringOf(body.suffix))
  const template = stringOf(body.template)
  if (template !== undefined) {
    plan.text(template.replaceAll(TEMPLATE_ACTION, ""))
    plan.estimated = true
  }
  const context = arrayOf(body.context).length
  if (context > 0) plan.approximate(context)
  for (const image of arrayOf(body.images)) planBareImage(plan, image, stringOf(body.model) ?? "")
}

/** No tokenizer finds more tokens in the request than these: one is at least a byte. Costs a walk, no thread. */
export function boundRequest(request: LlmRequest): number {
  const plan = planRequest(request)
  return plan.texts.reduce((sum, text) => sum + Buffer.byteLength(text), plan.fixed)
}

/** A prompt is a text, a list of texts, or one or more lists of token ids. */
function planPrompt(plan: CountPlan, prompt: JsonValue | undefined): void {
  for (const part of [prompt, ...arrayOf(prompt)]) {
    if (typeof part === "string") plan.text(part)
    else if (typeof part === "number") plan.fixed++
    else if (part !== prompt) plan.fixed += arrayOf(part).length
  }
}

/** Anthropic, Responses and /api/generate keep the system prompt beside the messages. */
function planApartSystem(plan: CountPlan, request: LlmRequest): void {
  // In the other lists, the system prompt is one of the messages.
  const isApart = request.dialect === "anthropic-messages" || request.dialect === "openai-responses"
  if (!isApart && !(request.dialect === "ollama" && request.body.messages === undefined)) return
  if (request.system === undefined) return
  plan.fixed += MESSAGE_TOKENS
  plan.text("system")
  plan.text(request.system)
}

function planMessage(plan: CountPlan, message: Message, model: string): void {
  plan.fixed += MESSAGE_TOKENS
  plan.text(message.role)
  const name = stringOf(message.name)
  if (name !== undefined) {
    plan.fixed += NAME_TOKENS
    plan.text(name)
  }
  if (typeof message.content === "string") plan.text(message.content)
  else for (const part of arrayOf(message.content)) planPart(plan, part, model)
  plan.text(stringOf(message.refusal))
  plan.text(stringOf(message.tool_call_id))
  plan.text(stringOf(message.thinking) ?? stringOf(message.reasoning_content) ?? stringOf(message.reasoning))
  for (const image of arrayOf(message.images)) planBareImage(plan, image, model)
  planCalls(plan, message)
  if (typeof message.type === "string" && message.type !== "message") planItem(plan, message, model)
}

/**
 * An item of the Responses API that is no message: a call, what came of one, what the model thought. Their texts stand
 * under names of their own. Source: openai-node, ResponseInputItem.
 */
function planItem(plan: CountPlan, item: JsonObject, model: string): void {
  plan.approximate(CALL_TOKENS)
  plan.text(textOrJson(item.arguments ?? item.input ?? item.action ?? undefined))
  if (Array.isArray(item.output)) for (const part of item.output) planPart(plan, part, model)
  else plan.text(textOrJson(item.output ?? undefined))
  // The length of encrypted thoughts tells nothing of their tokens: they are left out.
  for (const part of arrayOf(item.summary)) planPart(plan, part, model)
}

/** Ollama's images are base64 alone. */
function planBareImage(plan: CountPlan, image: JsonValue, model: string): void {
  plan.approximate(imageTokens(model, `data:;base64,${stringOf(image) ?? ""}`, "high"))
}

/** The call's own id is left out: it comes again as the answer's tool_call_id. No rule is published; +3 was measured. */
function planCalls(plan: CountPlan, message: Message): void {
  const calls = arrayOf(message.tool_calls).map((call) => (isObject(call) ? (call.function ?? call.custom) : undefined))
  for (const call of [...calls, message.function_call]) {
    if (!isObject(call)) continue
    plan.approximate(CALL_TOKENS)
    plan.text(stringOf(call.name))
    plan.text(textOrJson(call.arguments ?? call.input))
  }
}

function planPart(plan: CountPlan, part: JsonValue, model: string): void {
  if (!isObject(part)) return
  switch (part.type) {
    case "image_url":
    case "input_image":
    case "image":
      plan.approximate(planImage(part, model))
      break
    case "input_audio": {
      const audio = objectOf(part.input_audio)
      plan.approximate(audioTokens(stringOf(audio?.data)?.length ?? 0, stringOf(audio?.format)))
      break
    }
    case "file":
    case "input_file":
    case "document":
      plan.approximate(FILE_TOKENS)
      break
    case "text":
    case "input_text":
    case "output_text":
    case "summary_text":
    case "reasoning_text":
      plan.text(stringOf(part.text))
      break
    case "tool_use":
    case "server_tool_use":
      plan.approximate(CALL_TOKENS)
      plan.text(stringOf(part.name))
      plan.text(textOrJson(part.input))
      break
    case "thinking":
      plan.text(stringOf(part.thinking))
      break
    case "refusal":
      plan.text(stringOf(part.refusal))
      break
    default:
      planOtherPart(plan, part, model)
  }
}

/** What came of a tool, and kinds that we do not know: these may hold text; what else they hold cannot be told. */
function planOtherPart(plan: CountPlan, part: JsonObject, model: string): void {
  plan.estimated = true
  if (stringOf(part.type)?.endsWith("tool_result") === true) {
    plan.fixed += CALL_TOKENS
    plan.text(stringOf(part.tool_use_id))
  }
  plan.text(stringOf(part.text))
  if (typeof part.content === "string") plan.text(part.content)
  // One level: what is deeper is no content of these kinds.
  else
    for (const inner of arrayOf(part.content))
      if (isObject(inner) && !Array.isArray(inner.content)) planPart(plan, inner, model)
}

/** chat: `image_url: {url, detail}`; responses: `image_url: "..."`; messages: `source: {media_type, data}`. */
function planImage(part: JsonObject, model: string): number {
  const image = part.image_url
  const source = objectOf(part.source)
  const data = stringOf(source?.data)
  const url = data === undefined ? (stringOf(objectOf(image)?.url) ?? stringOf(image)) : `data:;base64,${data}`
  const detail = stringOf(objectOf(image)?.detail) ?? stringOf(part.detail)
  return imageTokens(model, url ?? "", detail === "low" ? "low" : "high")
}

/**
 * A schema for the answer is put in front of the model as text. chat: `{json_schema: {...}}`; responses and messages:
 * `{type: "json_schema", name, schema}`; ollama: the schema itself.
 */
function planFormat(plan: CountPlan, format: JsonValue | undefined): void {
  if (!isObject(format)) return
  const bare = format.type === "json_schema" ? { name: format.name, schema: format.schema } : format
  const schema = format.json_schema ?? bare
  const isPlain = format.type === "text" || format.type === "json_object" || format.type === "grammar"
  if (!isObject(schema) || isPlain) return
  plan.text(jsonText(schema))
  plan.estimated = true
}

function textOrJson(value: JsonValue | undefined): string | undefined {
  return value === undefined || typeof value === "string" ? value : jsonText(value)
}
