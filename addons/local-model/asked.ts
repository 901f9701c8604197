/**
 * What a request asks of the embedded model: OpenAI's fields as this host's words. A field that it cannot honour is refused by its
 * name, and one that changes nothing of an answer (user, metadata, store) is passed over. Pure.
 */
import { isObject, type JsonObject, type JsonValue } from "llmproxy"
import type { Form, Sampling } from "./messages.ts"
import { badField, type Refusal } from "./refusal.ts"

export interface Asked {
  readonly kind: "chat" | "completion"
  readonly model: string
  readonly messages: readonly JsonObject[]
  /** Of a completion. */
  readonly prompt: string
  readonly tools: readonly JsonObject[]
  readonly sampling: Sampling
  readonly stop: readonly string[]
  readonly maxTokens: number | undefined
  readonly form: Form | undefined
  readonly stream: boolean
  /** Whether a stream ends with a chunk of the tokens. */
  readonly includeUsage: boolean
}

/** llama.cpp's own, where a request says nothing. */
const USUAL = { temperature: 0.8, topP: 0.95, topK: 40, minP: 0.05 }
/** Stop strings of a request: OpenAI takes 4; more cost time with each token. */
const STOPS_MAX = 16
/** Tokens whose likelihood a request may change, as OpenAI has it. */
const BIAS_MAX = 300
/** Tokens of a completion whose request names none, as OpenAI's. */
const COMPLETION_TOKENS = 16

const NUMBERS = {
  temperature: [0, 2],
  top_p: [0, 1],
  top_k: [0, 1_000_000],
  min_p: [0, 1],
  repeat_penalty: [0, 10],
  presence_penalty: [-2, 2],
  frequency_penalty: [-2, 2],
  max_tokens: [0, 1_000_000_000],
  max_completion_tokens: [0, 1_000_000_000],
  seed: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
} as const

/** Fields that ask for more than is here, and what of them is the same as none. */
const UNSUPPORTED: Readonly<Record<string, (value: JsonValue) => boolean>> = {
  n: (value) => value === 1,
  best_of: (value) => value === 1,
  logprobs: (value) => value === false || value === 0,
  top_logprobs: (value) => value === 0,
  echo: (value) => value === false,
  suffix: (value) => value === "",
  functions: isNothing,
  function_call: (value) => value === "none" || value === "auto",
  audio: () => false,
  modalities: (value) => Array.isArray(value) && value.every((one) => one === "text"),
}

export function askedIn(kind: Asked["kind"], body: JsonObject): Asked | Refusal {
  for (const [name, isSame] of Object.entries(UNSUPPORTED)) {
    const value = body[name]
    if (value !== undefined && value !== null && !isSame(value))
      return badField(name, "the embedded model cannot do that; leave it out")
  }
  const numbers = numbersIn(body)
  if ("status" in numbers) return numbers
  const said = kind === "chat" ? messagesIn(body.messages) : promptIn(body.prompt)
  if ("status" in said) return said
  const stop = stopsIn(body.stop)
  if ("status" in stop) return stop
  const form = formIn(body.response_format)
  if (form !== undefined && "status" in form) return form
  const tools = toolsIn(body)
  if ("status" in tools) return tools
  const bias = biasIn(body.logit_bias)
  if ("status" in bias) return bias
  const { temperature = USUAL.temperature, top_p: topP = USUAL.topP } = numbers
  return {
    ...{ messages: [], prompt: "", ...said },
    kind,
    model: typeof body.model === "string" ? body.model : "",
    tools: tools.tools,
    stop: stop.stop,
    form,
    sampling: {
      ...{ temperature, topP, topK: numbers.top_k ?? USUAL.topK, minP: numbers.min_p ?? USUAL.minP },
      repeatPenalty: numbers.repeat_penalty ?? 1,
      frequencyPenalty: numbers.frequency_penalty ?? 0,
      presencePenalty: numbers.presence_penalty ?? 0,
      seed: numbers.seed,
      bias: bias.bias,
    },
    maxTokens: numbers.max_completion_tokens ?? numbers.max_tokens ?? (kind === "chat" ? undefined : COMPLETION_TOKENS),
    stream: body.stream === true,
    includeUsage: isObject(body.stream_options) && body.stream_options.include_usage === true,
  }
}

type Numbers = { [K in keyof typeof NUMBERS]?: number }

function numbersIn(body: JsonObject): Numbers | Refusal {
  const found: Record<string, number> = {}
  for (const [name, [least, most]] of Object.entries(NUMBERS)) {
    const value = body[name]
    if (value === undefined || value === null) continue
    if (typeof value !== "number" || value < least || value > most)
      return badField(name, `must be a number from ${least} to ${most}`)
    if (/^(max_|seed|top_k)/.test(name) && !Number.isInteger(value)) return badField(name, "must be a whole number")
    found[name] = value
  }
  return found
}

function messagesIn(value: JsonValue | undefined): { messages: JsonObject[] } | Refusal {
  if (!Array.isArray(value) || value.length === 0) return badField("messages", "must be a list of messages, not empty")
  const messages: JsonObject[] = []
  for (const [at, message] of value.entries()) {
    const place = `messages[${at}]`
    if (!isObject(message) || typeof message.role !== "string") return badField(place, "must be a message with a role")
    const content = textIn(message.content)
    if (content === undefined)
      return badField(`${place}.content`, "the embedded model reads texts alone; no images, sounds or files")
    // Templates know no developer: it is OpenAI's later word for system.
    const role = message.role === "developer" ? "system" : message.role
    messages.push({ ...message, role, content, ...callsIn(message) })
  }
  return { messages }
}

/** Templates take a call's arguments as an object. */
function callsIn({ tool_calls: calls }: JsonObject): JsonObject {
  if (!Array.isArray(calls)) return {}
  return {
    tool_calls: calls.map((call) => {
      if (!isObject(call) || !isObject(call.function) || typeof call.function.arguments !== "string") return call
      return { ...call, function: { ...call.function, arguments: parsed(call.function.arguments) } }
    }),
  }
}

function parsed(text: string): JsonValue {
  try {
    const value: JsonValue = JSON.parse(text)
    return value
  } catch {
    return text
  }
}

function textIn(content: JsonValue | undefined): string | undefined {
  if (content === undefined || content === null) return ""
  if (typeof content === "string") return content
  if (!Array.isArray(content)) return undefined
  const texts = content.map((part) =>
    isObject(part) && (part.type === "text" || part.type === "refusal") ? (part.text ?? part.refusal) : undefined,
  )
  return texts.every((text) => typeof text === "string") ? texts.join("\n") : undefined
}

function promptIn(value: JsonValue | undefined): { prompt: string } | Refusal {
  const prompt = Array.isArray(value) && value.length === 1 ? value[0] : value
  return typeof prompt === "string" ? { prompt } : badField("prompt", "must be one text")
}

function stopsIn(value: JsonValue | undefined): { stop: string[] } | Refusal {
  if (value === undefined || value === null) return { stop: [] }
  const list = Array.isArray(value) ? value : [value]
  const stop = list.filter((one) => typeof one === "string" && one !== "").map(String)
  if (stop.length === list.length && stop.length <= STOPS_MAX) return { stop }
  return badField("stop", `must be a text, or a list of at most ${STOPS_MAX}`)
}

function formIn(value: JsonValue | undefined): Form | Refusal | undefined {
  if (value === undefined || value === null) return undefined
  if (isObject(value)) {
    const { type, json_schema: named } = value
    if (type === "text") return undefined
    if (type === "json_object") return { kind: "json" }
    if (type === "json_schema" && isObject(named) && isObject(named.schema))
      return { kind: "schema", schema: named.schema }
  }
  return badField("response_format", "must be text, json_object, or json_schema with a schema")
}

function toolsIn({ tools, tool_choice: choice }: JsonObject): { tools: JsonObject[] } | Refusal {
  if (choice === "none" || tools === undefined || tools === null) return { tools: [] }
  if (!Array.isArray(tools)) return badField("tools", "must be a list")
  const functions = tools.filter(isObject).filter((tool) => tool.type === "function" && isObject(tool.function))
  if (functions.length !== tools.length) return badField("tools", "the embedded model knows functions alone")
  if (choice !== undefined && choice !== null && choice !== "auto" && functions.length > 0)
    return badField("tool_choice", 'the embedded model decides by itself: "auto" or "none"')
  return { tools: functions }
}

function biasIn(value: JsonValue | undefined): { bias: Record<string, number> } | Refusal {
  if (value === undefined || value === null) return { bias: {} }
  const entries = isObject(value) ? Object.entries(value) : undefined
  if (entries !== undefined && entries.length <= BIAS_MAX) {
    const bias: Record<string, number> = {}
    for (const [token, amount] of entries)
      if (/^\d{1,9}$/.test(token) && typeof amount === "number" && Math.abs(amount) <= 100) bias[token] = amount
    if (Object.keys(bias).length === entries.length) return { bias }
  }
  return badField("logit_bias", `must be an object of at most ${BIAS_MAX} tokens' numbers, each with -100 to 100`)
}

function isNothing(value: JsonValue): boolean {
  return Array.isArray(value) && value.length === 0
}
