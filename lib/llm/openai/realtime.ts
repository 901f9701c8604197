/**
 * The dialect `openai-realtime`: one turn of OpenAI's Realtime API, which is spoken over WebSocket only. Its events are
 * those of Responses with a few words of its own, and a voice whose transcript is the answer's text; audio is not read.
 * Source: openai-node, resources/realtime (RealtimeServerEvent, RealtimeResponse, RealtimeResponseCreateParams).
 */

import { arrayOf, isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../../base/json.ts"
import { completionFrom } from "../assemble.ts"
import type { Dialect, ParsedAnswer } from "../dialect.ts"
import { type EventMeaning, SseJsonDecoder } from "../framing/sse-json.ts"
import type { LlmRequest, Message } from "../model.ts"
import { RequestView } from "../request-view.ts"
import { ResponsesReader } from "../responses/read.ts"
import { parseResponsesRequest } from "../responses/request.ts"
import { openaiResponses } from "../responses/responses.ts"
import { REALTIME_TOOLS } from "../tools.ts"

const NAMES = { maxTokens: "max_output_tokens", stop: "stop", tools: REALTIME_TOOLS }

/** Events of the voice, and the older names of texts, as the events of Responses that say the same. */
const RENAMED: ReadonlyMap<string, string> = new Map([
  ["response.output_audio_transcript", "response.output_text"],
  ["response.audio_transcript", "response.output_text"],
  ["response.text", "response.output_text"],
])

/** Of these events' many kinds only those of a response say something of the answer. */
const AUDIO = /^response\.(output_)?audio\./

export const openaiRealtime: Dialect = {
  ...openaiResponses,
  name: "openai-realtime",
  // Never a request of HTTP.
  match: () => false,
  parseRequest: (body, path) => parseRealtimeRequest(body, path),
  decoder() {
    const reader = new RealtimeReader()
    return new SseJsonDecoder((json) => reader.event(json))
  },
  parseAnswer,
}

/** `response` holds the parameters, and may be missing: then the session's count. The model stands in the path's query. */
class RealtimeRequest extends RequestView {
  override readonly dialect = "openai-realtime"
  readonly #model: string

  constructor(body: JsonObject, model: string) {
    super(body, NAMES)
    this.#model = model
  }

  override get model(): string {
    return stringOf(this.parameters?.model) ?? this.#model
  }

  override set model(value: string) {
    this.refuse(`model to ${value}`, "it was chosen when the WebSocket was opened")
  }

  /** Every turn streams. */
  override get stream(): boolean {
    return true
  }

  override set stream(_value: boolean) {}

  protected override get parameters(): JsonObject | undefined {
    return objectOf(this.body.response)
  }

  override get messages(): Message[] {
    const view = parseResponsesRequest({ model: "", input: arrayOf(this.parameters?.input) })
    return view?.messages ?? []
  }

  override set messages(value: Message[]) {
    this.assignParameter("input", value)
  }

  override get system(): string | undefined {
    return stringOf(this.parameters?.instructions)
  }

  override set system(value: string | undefined) {
    this.#assign("instructions", value)
  }

  protected override get toolHolder(): JsonObject | undefined {
    return this.parameters
  }

  protected override assignTools(value: JsonObject[] | undefined): void {
    this.#assign("tools", value)
  }

  /** A turn without parameters gets some. */
  #assign(key: string, value: JsonValue | undefined): void {
    if (this.parameters === undefined && value !== undefined) this.body.response = {}
    this.assignParameter(key, value)
  }
}

function parseRealtimeRequest(body: JsonObject, path: string): LlmRequest | undefined {
  if (body.type !== "response.create") return undefined
  const query = path.indexOf("?")
  const model = query < 0 ? undefined : new URLSearchParams(path.slice(query + 1)).get("model")
  return new RealtimeRequest(body, model ?? "")
}

class RealtimeReader {
  readonly #reader = new ResponsesReader()

  event(json: JsonObject): EventMeaning {
    const type = stringOf(json.type) ?? ""
    if (type === "response.done") return this.#done(objectOf(json.response) ?? {})
    if (type === "error") return this.#reader.event(json, undefined)
    if (!type.startsWith("response.") || AUDIO.test(type)) return {}
    const end = type.lastIndexOf(".")
    const renamed = RENAMED.get(type.slice(0, end))
    if (renamed === undefined) return this.#reader.event(asResponses(json), undefined)
    return this.#reader.event({ text: json.transcript, ...json, type: renamed + type.slice(end) }, undefined)
  }

  /** One event ends every turn; how it went stands in the response. */
  #done(response: JsonObject): EventMeaning {
    if (response.status === "failed") {
      const error = objectOf(response.status_details)?.error ?? { message: "the response failed" }
      return this.#reader.event({ type: "response.failed", response: { error } }, undefined)
    }
    return this.#reader.event({ type: "response.completed", response: responseOf(response) }, undefined)
  }
}

/** A response with the names that Responses has for the same. */
function responseOf(response: JsonObject): JsonObject {
  const usage = objectOf(response.usage)
  return {
    ...response,
    output: arrayOf(response.output).map((item) => itemOf(objectOf(item) ?? {})),
    incomplete_details: objectOf(response.status_details) ?? null,
    ...(usage === undefined
      ? {}
      : {
          usage: {
            ...usage,
            input_tokens_details: usage.input_token_details,
            output_tokens_details: usage.output_token_details,
          },
        }),
  }
}

/** What a voice said has a transcript in place of a text. */
function itemOf(item: JsonObject): JsonObject {
  const content = arrayOf(item.content).map((part): JsonValue => {
    return isObject(part) && part.text === undefined ? { ...part, text: part.transcript } : part
  })
  return item.content === undefined ? item : { ...item, content }
}

function asResponses(json: JsonObject): JsonObject {
  const item = objectOf(json.item)
  return item === undefined ? json : { ...json, item: itemOf(item) }
}

function parseAnswer(body: JsonValue): ParsedAnswer | undefined {
  if (!isObject(body) || !Array.isArray(body.output)) return undefined
  return { completion: completionFrom(new ResponsesReader().response(responseOf(body)), body) }
}
