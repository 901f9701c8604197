/**
 * Where an answer is asked for again, and what is sent there: the request that the local host got, with a word more and
 * another temperature, or, at last, the client's own request to the site that the client itself had asked. Each key goes
 * to the origin alone that it was sent to, or meant for.
 */
import {
  type Answer,
  type Flow,
  type Headers,
  isObject,
  isOpenAiKey,
  isPlaceholderKey,
  type JsonObject,
  type JsonValue,
  type LlmFlow,
  type Message,
  type SendOptions,
} from "llmproxy"
import { ROUTE_FIELD, TEMPERATURE_DEFAULT } from "../shared/local-answers.ts"
import { textIn } from "./demand.ts"
import { retryFilter } from "./watch.ts"

/** Temperatures from here on give noise. */
const TEMPERATURE_MAX = 1.2
const KEY_FIELDS = ["authorization", "api-key", "x-api-key"]
/** Fields of the client's that belong to another key, or to another site. */
const BESIDES = ["api-key", "x-api-key", "cookie", "openai-organization", "openai-project"]
/** Fields of the connection to us. */
const OURS = [
  "connection",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
  ROUTE_FIELD,
]

/** A request as it was sent to the local host. */
export interface Asked {
  readonly url: string
  readonly headers: Headers
  readonly body: JsonObject
  readonly dialect: SendOptions["dialect"]
}

export function askedOf(flow: LlmFlow): Asked {
  const { url, headers } = flow.request
  return { url, headers, body: flow.llm.request.body, dialect: flow.llm.dialect }
}

export interface Change {
  readonly nudge: string
  /** Added to the temperature. */
  readonly warmer: number
}

export interface Again {
  readonly answer: Answer
  /** It was stopped because it went round in circles. */
  readonly looped: boolean
  /** All that came of it, where it was looked at on its way. */
  readonly said: string
}

/** Asks the local host again. Resolves when the answer is whole or has failed. */
export async function askLocal(flow: LlmFlow, asked: Asked, change: Change, timeoutMs: number): Promise<Again> {
  const isPrompt = typeof asked.body.prompt === "string"
  const filter = retryFilter(isPrompt)
  const json = warmed(nudged(asked.body, change.nudge, flow.llm.request.messages), change.warmer)
  const { transform } = filter
  const answer = await flow.send(
    { headers: asked.headers, json },
    {
      url: asked.url,
      until: "end",
      timeoutMs,
      transform,
      ...(asked.dialect === undefined ? {} : { dialect: asked.dialect }),
    },
  )
  return { answer, looped: filter.looped, said: filter.said }
}

/**
 * The fields to ask the site with that the client meant; undefined where nothing may leave the machine. A request to the
 * proxy's own address that has no key of OpenAI's goes with ours, without what else it might know the client by.
 */
export function cloudFields(flow: Flow, cloudKey: string | undefined): Headers | undefined {
  if (flow.localOnly) return undefined
  const headers = flow.original.headers.clone()
  for (const name of OURS) headers.delete(name)
  if (!flow.baseUrl) return KEY_FIELDS.some((name) => headers.has(name)) ? headers : undefined
  if (hasOpenAiKey(headers.get("authorization"))) return headers
  const key = cloudKey?.trim() ?? ""
  if (isPlaceholderKey(key) || !flow.client.mayUseKeys) return undefined
  for (const name of BESIDES) headers.delete(name)
  headers.set("Authorization", `Bearer ${key}`)
  return headers
}

function hasOpenAiKey(field: string | undefined): boolean {
  return isOpenAiKey(/^Bearer\s+(\S+)\s*$/i.exec(field ?? "")?.[1] ?? "")
}

/** Asks the client's own upstream, as the client did. `model`: undefined leaves the client's. */
export async function askCloud(
  flow: LlmFlow,
  { headers, model }: { headers: Headers; model: string | undefined },
  nudge: string,
  timeoutMs: number,
): Promise<Again> {
  const { body, messages } = flow.llm.request
  const json = nudged(body, nudge, messages)
  const answer = await flow.send(
    { headers, json: model === undefined ? json : { ...json, model } },
    { url: flow.original.url, dialect: flow.llm.dialect, until: "end", timeoutMs },
  )
  return { answer, looped: false, said: "" }
}

/** The body with a word more: at the end of the last user message, so that roles alternate as templates want them to. */
export function nudged(body: JsonObject, nudge: string, messages: readonly Message[]): JsonObject {
  if (Array.isArray(body.messages)) return { ...body, messages: withLastUser(body.messages, nudge) }
  const last = messages.findLast(({ role }) => role === "user")
  const text = last === undefined ? "" : textIn(last).trim()
  if (typeof body.prompt !== "string" || text === "") return body
  const at = body.prompt.lastIndexOf(text)
  if (at === -1) return body // A template that rewrites texts: the temperature has to do.
  const end = at + text.length
  return { ...body, prompt: `${body.prompt.slice(0, end)}\n\n${nudge}${body.prompt.slice(end)}` }
}

function withLastUser(messages: readonly JsonValue[], nudge: string): JsonValue[] {
  const index = messages.findLastIndex((message) => isObject(message) && message.role === "user")
  const message = messages[index]
  if (!isObject(message)) return [...messages, { role: "user", content: nudge }]
  const { content } = message
  const said = Array.isArray(content) ? [...content, { type: "text", text: nudge }] : `${content ?? ""}\n\n${nudge}`
  return messages.with(index, { ...message, content: said })
}

function warmed(body: JsonObject, warmer: number): JsonObject {
  const add = (value: JsonValue | undefined) => {
    const before = typeof value === "number" ? value : TEMPERATURE_DEFAULT
    return Math.round(Math.max(before, Math.min(before + warmer, TEMPERATURE_MAX)) * 100) / 100
  }
  const seed = typeof body.seed === "number" ? { seed: body.seed + 1 } : {}
  // Ollama has its parameters one level down.
  if (!isObject(body.options)) return { ...body, ...seed, temperature: add(body.temperature) }
  return { ...body, ...seed, options: { ...body.options, temperature: add(body.options.temperature) } }
}
