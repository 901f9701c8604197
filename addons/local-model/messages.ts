/**
 * What the proxy and a model's process tell each other: JSON over the channel of `fork`. Both check what comes, because
 * either may be of another version or broken. Pure.
 */

/** Characters of a message about something that failed. */
const MESSAGE_CHARS_MAX = 2_000
/** Texts of control tokens that are told; models have a few hundred. */
const CONTROLS_MAX = 4_096

/** A piece of a prompt: `isMarkup` is the template's own, in which the texts of control tokens mean those tokens. */
export interface PromptPiece {
  readonly text: string
  readonly isMarkup: boolean
}

export interface Sampling {
  /** 0: always the most likely token. */
  readonly temperature: number
  readonly topP: number
  /** 0: of all tokens. */
  readonly topK: number
  readonly minP: number
  /** 1: none. */
  readonly repeatPenalty: number
  readonly frequencyPenalty: number
  readonly presencePenalty: number
  readonly seed: number | undefined
  /** Added to the likelihood of tokens, by their number. */
  readonly bias: Readonly<Record<string, number>>
}

/** What the answer has to be: a JSON object, or one of a schema. */
export type Form = { readonly kind: "json" } | { readonly kind: "schema"; readonly schema: object }

export interface Generation {
  readonly prompt: readonly PromptPiece[]
  readonly sampling: Sampling
  readonly stop: readonly string[]
  /** Undefined: as many as the context takes. */
  readonly maxTokens: number | undefined
  /** Whether the texts of control tokens are part of the answer, as where calls begin with one. */
  readonly showsControls: boolean
  readonly form: Form | undefined
}

export type ToProcess =
  | {
      readonly kind: "load"
      readonly file: string
      readonly contextSize: number
      readonly threads: number
      /** A file URL or a package's name: what is imported. */
      readonly library: string
    }
  | { readonly kind: "generate"; readonly id: number; readonly generation: Generation }
  | { readonly kind: "stop"; readonly id: number }

/** What a loaded model is. */
export interface ModelFacts {
  /** Tokens that prompt and answer may have together, as the process keeps to it. */
  readonly context: number
  /** Its own chat template, in Jinja. */
  readonly template: string | undefined
  readonly bos: string
  readonly eos: string
  readonly controls: readonly string[]
}

export type EndReason = "stop" | "length" | "stopped"

export type FromProcess =
  | { readonly kind: "progress"; readonly part: number }
  | { readonly kind: "loaded"; readonly model: ModelFacts }
  | { readonly kind: "failed"; readonly why: "library" | "model"; readonly message: string }
  | { readonly kind: "text"; readonly id: number; readonly text: string }
  | {
      readonly kind: "end"
      readonly id: number
      readonly reason: EndReason
      readonly promptTokens: number
      readonly tokens: number
    }
  /** The prompt does not fit. */
  | { readonly kind: "too-long"; readonly id: number; readonly promptTokens: number; readonly context: number }
  | { readonly kind: "refused"; readonly id: number; readonly message: string }

/** Undefined: it is none of ours. */
export function fromProcess(value: unknown): FromProcess | undefined {
  if (!isRecord(value)) return undefined
  const { kind, id, message, part, reason, promptTokens, tokens, context, text, why } = value
  switch (kind) {
    case "progress":
      return isNumber(part) ? { kind, part } : undefined
    case "loaded": {
      const model = factsIn(value.model)
      return model === undefined ? undefined : { kind, model }
    }
    case "failed":
      return typeof message === "string" ? { kind, why: why === "library" ? why : "model", message } : undefined
    case "text":
      return isNumber(id) && typeof text === "string" ? { kind, id, text } : undefined
    case "end":
      return isNumber(id) && isReason(reason) && isNumber(promptTokens) && isNumber(tokens)
        ? { kind, id, reason, promptTokens, tokens }
        : undefined
    case "too-long":
      return isNumber(id) && isNumber(promptTokens) && isNumber(context)
        ? { kind, id, promptTokens, context }
        : undefined
    case "refused":
      return isNumber(id) && typeof message === "string" ? { kind, id, message } : undefined
    default:
      return undefined
  }
}

/** What a process is told; only a proxy of the same build tells it. */
export function isToProcess(value: unknown): value is ToProcess {
  return isRecord(value) && (value.kind === "load" || value.kind === "generate" || value.kind === "stop")
}

export function messageIn(thrown: unknown): string {
  return (thrown instanceof Error ? thrown.message : String(thrown)).slice(0, MESSAGE_CHARS_MAX)
}

function factsIn(value: unknown): ModelFacts | undefined {
  if (!isRecord(value) || !isNumber(value.context)) return undefined
  const { context, template, bos, eos, controls } = value
  return {
    context,
    template: typeof template === "string" ? template : undefined,
    bos: typeof bos === "string" ? bos : "",
    eos: typeof eos === "string" ? eos : "",
    controls: Array.isArray(controls)
      ? controls.filter((one): one is string => typeof one === "string" && one !== "").slice(0, CONTROLS_MAX)
      : [],
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value)
}

function isReason(value: unknown): value is EndReason {
  return value === "stop" || value === "length" || value === "stopped"
}
