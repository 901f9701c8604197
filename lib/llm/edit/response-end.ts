/** The words of a response that is edited: kinds of items, and what its last event says of its end and its cost. */

import { arrayOf, isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../../base/json.ts"
import type { EncodeContext } from "../dialect.ts"
import { type Delta, NO_USAGE, type Usage } from "../model.ts"
import { saysSomething } from "../openai/read.ts"
import { kindOf } from "../responses/correlate.ts"
import type { OutputItem } from "../responses/items.ts"
import { callItem, messageItem, reasoningItem, toolTypes, writeResponsesUsage } from "../responses/words.ts"
import { mergeUsage } from "../usage.ts"
import { type Piece, sameDelta } from "./pieces.ts"
import { requestWords, setResponseEnd } from "./places.ts"
import type { Track, Tracks } from "./response-track.ts"
import { dropUntold, Read } from "./untold.ts"
import { moveUsage } from "./usage-edit.ts"

/** For each delta that was told, what is to be told in its place. */
export type Told = readonly (Delta | undefined)[]

/** Which item a piece belongs to. */
export function keyOf(piece: Piece): string {
  if (piece.type === "toolCall") return `call ${piece.call}`
  return piece.type === "reasoning" ? "reasoning" : "message"
}

/** An item for a piece that has none, as the one of that number. */
export function newItem(piece: Piece, at: number, { id, request }: EncodeContext): JsonObject {
  if (piece.type === "reasoning") return reasoningItem(`rs_${id}_${at}`)
  if (piece.type !== "toolCall") return messageItem(`msg_${id}_${at}`)
  const type = toolTypes(request).get(piece.name ?? "") ?? "function_call"
  return callItem(type, `${id}_${at}`, piece.id, piece.name ?? "")
}

/** An event of a piece with another text. */
export function changedPiece(json: JsonObject, text: string): JsonObject {
  return { ...json, delta: text, ...(Array.isArray(json.logprobs) ? { logprobs: [] } : {}) }
}

/**
 * Makes a response say what left: the items with their texts, those that were `added` among them. An item with texts of
 * which nothing has left stays away, as nobody was told of it.
 */
export function restateOutput(response: JsonObject, tracks: Tracks, added: readonly OutputItem[], shift: number): void {
  dropUntold(response, new Read().add(response, "output", ...requestWords(response)))
  if (!Array.isArray(response.output)) {
    if (saysSomething(response.output)) response.output = undefined
    restateText(response, tracks.texts)
    return
  }
  const met = new Set<Track>()
  const items = response.output.flatMap((value, at) => {
    const item = objectOf(value)
    const track = item && tracks.saying(item, at, met)
    if (!item || !track) return kindOf(item) === "other" ? [{ at: at + shift, item: value }] : []
    met.add(track)
    return track.gone || track.isEmpty ? [] : [{ at: track.index ?? at, item: track.item(item) }]
  })
  const own = added.map((item) => ({ at: item.index, item: item.json }))
  response.output = [...items, ...own].toSorted((a, b) => a.at - b.at).map(({ item }) => item)
  restateText(response)
}

/** Some servers say all texts once more, as SDKs do. */
export function restateText(response: JsonObject, said = textOfOutput(response)): void {
  if (typeof response.output_text === "string" && said !== undefined) response.output_text = said
}

function textOfOutput({ output }: JsonObject): string | undefined {
  return Array.isArray(output) ? output.map(textOfItem).join("") : undefined
}

/** What an item says to whom reads texts alone. */
function textOfItem(item: JsonValue): string {
  const json = objectOf(item)
  const parts = json?.type === "message" ? arrayOf(json.content).map(objectOf) : []
  return parts
    .map((part) => (part?.type === "output_text" || part?.type === "text" ? (stringOf(part.text) ?? "") : ""))
    .join("")
}

/** Writes the end and the usage that are to be told. `owed`: a usage that had no place before. */
export function setEnd(response: JsonObject, given: readonly Delta[], told: Told, owed: Usage | undefined): void {
  let before: Usage | undefined
  let after: Usage | undefined
  for (const [at, delta] of given.entries()) {
    const made = told[at]
    if (delta.type === "finish" && made?.type === "finish" && !sameDelta(made, delta))
      setResponseEnd(response, made.reason)
    if (delta.type !== "usage") continue
    before = delta.usage
    after = made?.type === "usage" ? made.usage : NO_USAGE
  }
  const wanted = owed ? mergeUsage(after, owed) : after
  if (wanted === undefined || wanted === before) return
  if (isObject(response.usage)) moveUsage("openai-responses", response.usage, before, wanted)
  else response.usage = writeResponsesUsage(wanted)
}

/** The type of the last event, for how the response ended. */
export function endOf(type: string, { status }: JsonObject): string {
  return status === "completed" || status === "incomplete" ? `response.${status}` : type
}
