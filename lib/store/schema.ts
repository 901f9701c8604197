/**
 * The tables, as kysely sees them; migrations.ts makes them. Texts, integers, doubles, no JSON type and no blob: the
 * same on SQLite and PostgreSQL. What is one to one with a flow (route, usage, timings) is a column of it; an attempt is
 * a flow with a parent.
 *
 * What repeats is kept once, under the SHA-256 of its text, with a count of who refers to it (`refs`): `contents`
 * (a message, a tool list, parameters, a head) and `turns`, which are conversations as chains: a turn is a message and
 * the turn before it. A conversation that is sent again with two more messages adds two turns and one reference.
 */
import type { Insertable, Selectable } from "kysely"

export interface FlowTable {
  /** UUIDv7: flows in the order of their ids are flows in the order of their begin. */
  id: string
  /** The flow whose addon sent this one: then it is an attempt. */
  parent_id: string | null
  /** Epoch milliseconds. */
  started_at: number
  client_id: string
  method: string
  url: string
  host: string
  /** Of the answer; null without one. */
  status: number | null
  dialect: string | null
  /** The model that was asked for. */
  model: string | null
  /** The model that answered, as its host named it. */
  answered_model: string | null
  /** 1: the answer came as a stream. */
  streamed: number | null
  finish_reason: string | null
  finish_raw: string | null
  error_source: string | null
  error_code: string | null
  error_message: string | null
  llm_error_kind: string | null
  llm_error_code: string | null
  llm_error_message: string | null
  route: string | null
  route_reason: string | null
  route_url: string | null
  /** Tokens that the decision counted. */
  route_tokens: number | null
  input_tokens: number | null
  output_tokens: number | null
  total_tokens: number | null
  cached_tokens: number | null
  reasoning_tokens: number | null
  /** provider, counted or none; null where there is no completion. */
  usage_source: string | null
  /** Milliseconds since `started_at`. */
  request_ms: number | null
  response_head_ms: number | null
  first_delta_ms: number | null
  end_ms: number | null
  request_bytes: number
  response_bytes: number
  /** 1: the contents were too large and are not kept. */
  incomplete: number
  /** JSON object: what addons noted. */
  metadata: string | null
  /** The last turn of the conversation that was sent. */
  conversation: string | null
  /** The request's body without messages, system prompt and tools. */
  parameters: string | null
  tools: string | null
  /** The first choice as an assistant's message. */
  answer: string | null
  /** JSON array of the further choices' messages. */
  more_answers: string | null
  request_headers: string | null
  response_headers: string | null
}

interface TurnTable {
  hash: string
  /** "" for the first turn. */
  previous: string
  /** In `contents`. */
  message: string
  /** 0 for the first. */
  position: number
  /** Flows that end here, and turns that go on from here. */
  refs: number
}

interface ContentTable {
  hash: string
  json: string
  refs: number
}

export interface Schema {
  flows: FlowTable
  turns: TurnTable
  contents: ContentTable
}

export type FlowRow = Selectable<FlowTable>
export type NewFlowRow = Insertable<FlowTable>

/** The columns of a flow that refer to contents. */
export const CONTENT_COLUMNS = [
  "parameters",
  "tools",
  "answer",
  "more_answers",
  "request_headers",
  "response_headers",
] as const satisfies readonly (keyof FlowTable)[]
