/**
 * The dialect `openai-completions`: POST …/completions, the raw prompt without a conversation. A prompt is one user
 * message to us; a prompt of token ids has no text, so it has no messages. `echo`, `logprobs` and `suffix` are the
 * client's and the server's affair: they stay in the body and in the raw events.
 * Source: OpenAI's openapi.yaml, CreateCompletionRequest and -Response.
 */
import { FlowError } from "../errors.ts"
import type { Dialect } from "./dialect.ts"
import type { JsonObject, JsonValue } from "./json.ts"
import type { Choice, ContentPart, Delta, Message } from "./model.ts"
import { parseOpenAiAnswer, writeOpenAiAnswer } from "./openai-answer.ts"
import { textOf } from "./openai-chat-request.ts"
import { readErrorBody, writeErrorJson } from "./openai-errors.ts"
import { OpenAiRequest, pathOnly } from "./openai-request.ts"
import { OpenAiDecoder } from "./openai-stream.ts"
import { type ChunkShape, comment, dataEvent, finishWord, OpenAiEncoder } from "./openai-write.ts"

export const openaiCompletions: Dialect = {
  name: "openai-completions",
  streamType: "text/event-stream",
  match(method, path) {
    const plain = pathOnly(path)
    return method === "POST" && plain.endsWith("/completions") && !plain.endsWith("/chat/completions")
  },
  parseRequest: (body, path) => (hasPrompt(body) ? new CompletionsRequest(body, path) : undefined),
  decoder: () => new OpenAiDecoder(),
  encoder: (context) => new OpenAiEncoder(context, TEXT_CHUNKS),
  parseAnswer: parseOpenAiAnswer,
  writeAnswer: (completion, context) => writeOpenAiAnswer(completion, context, "text_completion", writeChoice),
  parseError: readErrorBody,
  writeError: writeErrorJson,
  errorEvent: (error) => dataEvent(writeErrorJson(error)),
  comment,
}

class CompletionsRequest extends OpenAiRequest {
  override readonly dialect = "openai-completions"

  /** One user message whose content is the prompt: text, or text parts for a list of prompts. Assign to change the list. */
  get messages(): Message[] {
    return contentOf(this.body.prompt) === undefined ? [] : [promptMessage(this.body)]
  }

  /** The texts of the messages, a blank line between them, become the prompt: a completion has no roles. */
  set messages(value: Message[]) {
    this.body.prompt = value.map((message) => textOf(message.content)).join("\n\n")
  }

  get system(): undefined {
    return undefined
  }

  /** A completion has no place for a system prompt: setting one throws, rather than losing it silently. */
  set system(value: string | undefined) {
    if (value === undefined) return
    const advice = "put the text into the prompt: flow.llm.request.messages"
    throw new FlowError("addon", "no-system-prompt", `set the system prompt: openai-completions has none; ${advice}`)
  }
}

type PromptContent = string | ContentPart[] | null

/** A message whose `content` is a view on the prompt, so that editing it edits the body. */
function promptMessage(body: JsonObject): Message {
  return {
    role: "user",
    get content(): PromptContent {
      return contentOf(body.prompt) ?? ""
    },
    set content(value: PromptContent) {
      body.prompt = Array.isArray(value) ? value.map((part) => String(part.text ?? "")) : (value ?? "")
    },
  }
}

/** The text of a prompt; undefined for token ids. */
function contentOf(prompt: JsonValue | undefined): PromptContent | undefined {
  if (typeof prompt === "string") return prompt
  if (!Array.isArray(prompt) || !prompt.every((text) => typeof text === "string")) return undefined
  const [only] = prompt
  return prompt.length === 1 ? only : prompt.map((text) => ({ type: "text", text }))
}

function hasPrompt(body: JsonObject): boolean {
  return typeof body.prompt === "string" || Array.isArray(body.prompt)
}

const TEXT_CHUNKS: ChunkShape = {
  object: "text_completion",
  toolsWord: "tool_calls",
  choice(delta: Delta) {
    if (delta.type !== "text") return undefined
    return { index: delta.index, text: delta.text, logprobs: null, finish_reason: null }
  },
  finish: (index, reason) => ({ index, text: "", logprobs: null, finish_reason: reason }),
}

function writeChoice(choice: Choice): JsonObject {
  const finish_reason = finishWord(choice.finishReason, TEXT_CHUNKS.toolsWord)
  return { index: choice.index, text: choice.text, logprobs: null, finish_reason }
}
