/**
 * What traffic with a language model means, whatever its wire format: request, delta, completion, usage, error.
 * Our words keep the provider's beside them (`raw`). Dialects translate; nothing here knows a wire format.
 */
import type { JsonObject, JsonValue } from "../base/json.ts"

export type DialectName =
  | "openai-chat"
  | "openai-completions"
  | "openai-responses"
  | "openai-realtime"
  | "anthropic-messages"
  | "ollama"
  | "llamacpp"

/** A part of a message that says a text, whatever the dialect calls it ("text", "input_text", "output_text"). */
export type TextPart = JsonObject & { type: string; text: string }

/** Any other part: an image, a file, a call. It has the provider's own form, also where its kind is not known. */
export type OtherPart = JsonObject & { type: string; text?: null }

/** A part of a message: `typeof part.text === "string"` tells one kind from the other. */
export type ContentPart = TextPart | OtherPart

/** A message of a conversation. Its object is the provider's own JSON where the shape is the same (openai-chat). */
export type Message = JsonObject & {
  role: string
  content?: string | ContentPart[] | null
}

/** A function that the model may call, and the client's program runs. A view: what is set changes that value of `raw`. */
export interface FunctionTool {
  readonly kind: "function"
  name: string
  description: string | undefined
  /** A JSON Schema, the body's own object; undefined: it takes nothing. */
  parameters: JsonObject | undefined
  /** The dialect's own JSON, with what it has besides. */
  readonly raw: JsonObject
}

/** What the provider runs itself (a web search), or that is no function: it has a form in its own dialect alone. */
export interface ProviderTool {
  readonly kind: "provider"
  /** Its name, else its type. */
  readonly name: string
  readonly description: string | undefined
  readonly parameters: undefined
  readonly raw: JsonObject
}

export type Tool = FunctionTool | ProviderTool

/**
 * A tool that is put into a request: one of its own or of another request (a function is written in the dialect's form), a
 * new function, or the provider's own JSON, in which what stands beside `raw` is changed.
 */
export type GivenTool =
  | Tool
  | {
      readonly name: string
      readonly description?: string | undefined
      readonly parameters?: JsonObject | undefined
      readonly raw?: undefined
    }
  | {
      readonly raw: JsonObject
      readonly name?: string
      readonly description?: string | undefined
      readonly parameters?: JsonObject | undefined
    }

/**
 * A request to a model. Every field is a view on `body`: setting one changes that one value there, and nothing else of
 * the body is serialised again. Changing `body` directly works as well.
 */
export interface LlmRequest {
  readonly dialect: DialectName
  /** The parsed body, unknown fields included. */
  readonly body: JsonObject
  model: string
  /** The system prompt in the dialect's own place; undefined when there is none. Setting undefined removes it. */
  system: string | undefined
  /** The dialect's own list: in openai-chat the system messages are in it. A completion's prompt is one user message. */
  messages: Message[]
  /**
   * Views, made anew at each reading; the list itself cannot be changed, but set: then each tool is written in the
   * dialect's own form, and those that were there keep their JSON. Setting throws a TypeError for what is no tool, a
   * FlowError where a tool, or tools at all, have no place in the dialect.
   */
  get tools(): readonly Tool[] | undefined
  set tools(value: readonly GivenTool[] | undefined)
  /** Whether the client asked for a stream. */
  stream: boolean
  maxTokens: number | undefined
  temperature: number | undefined
  topP: number | undefined
  stop: string[] | undefined
  /** How many choices. */
  n: number
}

export type FinishUnified = "stop" | "length" | "toolCalls" | "contentFilter" | "error" | "cut" | "other"
export interface FinishReason {
  readonly unified: FinishUnified
  /** The provider's word, or undefined where it gave none. */
  readonly raw: string | undefined
}

export interface Usage {
  readonly inputTokens: number | undefined
  readonly outputTokens: number | undefined
  readonly totalTokens: number | undefined
  readonly cachedTokens: number | undefined
  readonly reasoningTokens: number | undefined
  readonly source: "provider" | "counted" | "none"
}

export type Delta =
  | { readonly type: "text"; readonly index: number; readonly text: string }
  | { readonly type: "reasoning"; readonly index: number; readonly text: string }
  | { readonly type: "refusal"; readonly index: number; readonly text: string }
  | {
      readonly type: "toolCall"
      readonly index: number
      /** Which call of the choice this piece belongs to. */
      readonly call: number
      /** Told once, with the first piece that has it. */
      readonly id: string | undefined
      /** The name, told once; from a provider that splits names, the next piece of it. */
      readonly name: string | undefined
      /** The next piece of the arguments' JSON text; may be empty. */
      readonly arguments: string
    }
  | { readonly type: "usage"; readonly usage: Usage }
  | { readonly type: "finish"; readonly index: number; readonly reason: FinishReason }
  | { readonly type: "other"; readonly raw: JsonValue }

export interface ToolCall {
  id: string | undefined
  name: string
  /** JSON text, as the model wrote it. */
  arguments: string
}

export interface Choice {
  readonly index: number
  text: string
  reasoning: string
  refusal: string
  toolCalls: ToolCall[]
  finishReason: FinishReason
}

/** An answer, whole. `text`, `toolCalls` and the like are those of the first choice. */
export interface Completion {
  readonly id: string | undefined
  /** The model that answered, as the provider named it. */
  readonly model: string | undefined
  /** Seconds since the epoch, or undefined. */
  readonly created: number | undefined
  readonly choices: Choice[]
  readonly text: string
  readonly reasoning: string
  readonly refusal: string
  readonly toolCalls: ToolCall[]
  readonly finishReason: FinishReason
  readonly usage: Usage
  /** Whether the answer came as a stream of events. */
  readonly streamed: boolean
  readonly timings: LlmTimings
  /** The answer exceeded the limit of what is assembled: the client got all of it, this holds its beginning. */
  readonly truncated?: true
}

/**
 * What an answer is to say instead. `choices` are all of it; of the other fields, which are those of the first choice, the
 * ones count that differ from the answer's. So `{ text }`, `{ choices }` and a completion with another text are all good.
 * What is left out stays; a choice that is left out of `choices` is taken out of the answer.
 */
export type CompletionChange = Partial<
  Pick<Completion, "text" | "reasoning" | "refusal" | "toolCalls" | "finishReason"> & {
    readonly choices: readonly Choice[]
  }
>

/** Durations in milliseconds since the request was whole at the proxy. */
export interface LlmTimings {
  firstDeltaMs: number | undefined
  totalMs: number | undefined
}

export type LlmErrorKind =
  | "context_length"
  | "rate_limit"
  | "quota"
  | "auth"
  | "model_not_found"
  | "loading"
  | "overloaded"
  | "invalid_request"
  | "other"

/** What did not fit, in tokens, where the server said it. `requested` holds the completion too where the server adds it. */
export interface ContextOverflow {
  readonly requested: number | undefined
  readonly limit: number | undefined
}

/** An error as a provider (or we) said it. */
export interface LlmError {
  readonly kind: LlmErrorKind
  /** HTTP status; 200 for an error inside a stream. */
  readonly status: number
  readonly message: string
  readonly code: string | undefined
  readonly type: string | undefined
  /** The provider's body or event, parsed where it is JSON. */
  readonly raw: JsonValue | undefined
  /** Of `context_length`: what did not fit, in tokens, as far as the server said it. */
  readonly overflow?: ContextOverflow
}

export const NO_USAGE: Readonly<Usage> = Object.freeze({
  inputTokens: undefined,
  outputTokens: undefined,
  totalTokens: undefined,
  cachedTokens: undefined,
  reasoningTokens: undefined,
  source: "none",
})
