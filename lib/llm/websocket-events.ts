/**
 * Conversations with a model over one WebSocket: which messages of the client ask for an answer, and which of the server
 * belong to one. A turn is what HTTP calls a request and its answer, so everything else about it is its dialect's: the
 * asking message is the request's body, and the server's messages are the events of its stream.
 * Sources: OpenAI's API reference, Responses, "WebSocket events", and its guide "Mid-turn steering"; openai-node,
 * resources/realtime and resources/beta/responses.
 */

import { isObject, type JsonObject, objectOf, parseJson, stringOf } from "../base/json.ts"
import type { Dialect } from "./dialect.ts"
import { openaiRealtime } from "./openai/realtime.ts"
import { RequestBody } from "./request-body.ts"
import { pathOnly } from "./request-view.ts"
import { parseResponsesRequest, ResponsesRequest } from "./responses/request.ts"
import { openaiResponses } from "./responses/responses.ts"

/**
 * What a server's message is to the turn that waits for an answer (`begun`: some of it has come). `begins`: the first of
 * an answer, to what nobody asked for if no turn waits for one. `ends`: its last one.
 */
type TurnPart = "begins" | "belongs" | "ends" | "foreign"

export interface SocketDialect {
  /** Reads a turn. */
  readonly dialect: Dialect
  /** By the path of the upgrade, with its query. */
  match(path: string): boolean
  /** Whether a client's message asks for an answer. */
  asks(event: JsonObject): boolean
  part(event: JsonObject, begun: boolean): TurnPart
  /** Tells apart the turns that run side by side on one connection; undefined: there is one at a time. */
  lane(event: JsonObject): string | undefined
  /** The client's message that would have asked for what the server began by itself with `event`. */
  wouldAsk(event: JsonObject): JsonObject
}

const ASKS = "response.create"
const BEGINS = "response.created"
/** Responses: answers to input that a client adds to a response that runs. They say nothing of the answer. */
const OF_ADDED_INPUT = /^response\.(steer|inject)\./
/** What a response has beside the parameters of its request, which it repeats. */
const OUTCOMES = [
  "id",
  "object",
  "created_at",
  "completed_at",
  "status",
  "output",
  "output_text",
  "error",
  "incomplete_details",
  "usage",
] as const
const RESPONSES_ENDS = new Set(["response.completed", "response.failed", "response.incomplete", "response.cancelled"])

/** `stream` is implied and must not be sent. */
class SocketResponsesRequest extends ResponsesRequest {
  override get stream(): boolean {
    return true
  }

  override set stream(_value: boolean) {}
}

/** wss://api.openai.com/v1/responses, and Codex's own path that ends the same. */
export const responsesSocket: SocketDialect = {
  dialect: {
    ...openaiResponses,
    parseRequest: (body) => (parseResponsesRequest(body) === undefined ? undefined : new SocketResponsesRequest(body)),
  },
  match: (path) => pathOnly(path).endsWith("/responses"),
  asks: ({ type }) => type === ASKS,
  part({ type }) {
    if (typeof type !== "string") return "foreign"
    if (RESPONSES_ENDS.has(type) || type === "error") return "ends"
    if (type === BEGINS) return "begins"
    return type.startsWith("response.") && !OF_ADDED_INPUT.test(type) ? "belongs" : "foreign"
  },
  lane: ({ stream_id: stream }) => stringOf(stream),
  wouldAsk({ response }) {
    const parameters: JsonObject = { ...objectOf(response) }
    for (const name of OUTCOMES) delete parameters[name]
    return { model: "", ...parameters, type: ASKS, input: [] }
  },
}

/** wss://api.openai.com/v1/realtime?model=… */
export const realtimeSocket: SocketDialect = {
  dialect: openaiRealtime,
  match: (path) => pathOnly(path).endsWith("/realtime"),
  asks: ({ type }) => type === ASKS,
  part({ type }, begun) {
    if (typeof type !== "string") return "foreign"
    if (type === "response.done") return "ends"
    // Errors are mostly of other events; one that comes in place of an answer is its end.
    if (type === "error") return begun ? "foreign" : "ends"
    if (type === BEGINS) return "begins"
    return type.startsWith("response.") ? "belongs" : "foreign"
  },
  lane: () => undefined,
  wouldAsk: ({ response }) => ({ type: ASKS, response: objectOf(response) ?? {} }),
}

/** The id of the response that an event names. */
export function responseIdOf({ response, response_id: id }: JsonObject): string | undefined {
  return stringOf(id) ?? stringOf(objectOf(response)?.id)
}

/** A message as an event; undefined for what is no JSON object. */
export function eventOf(text: string): JsonObject | undefined {
  const json = parseJson(text)
  return isObject(json) ? json : undefined
}

/** An asking message as the body of a request over HTTP, its other bytes as they were. */
export function requestWithoutSocket(message: Buffer): Buffer {
  const body = RequestBody.parse(message)
  if (body === undefined) return message
  delete body.json.type
  delete body.json.stream_id
  body.json.stream = true
  return body.bytes()
}
