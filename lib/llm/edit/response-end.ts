/** The words of a response that is edited: kinds of items, and what its last event says of its end and its cost. */
import type { EncodeContext } from "../dialect.ts"
import { arrayOf, isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../json.ts"
import { type Delta, NO_USAGE, type Usage } from "../model.ts"
import type { ItemKind } from "../responses-correlate.ts"
import type { OutputItem } from "../responses-items.ts"
import { callItem, messageItem, reasoningItem, toolTypes, writeResponsesUsage } from "../responses-words.ts"
import { mergeUsage } from "../usage.ts"
import { type Piece, sameDelta } from "./pieces.ts"
import { setResponseEnd } from "./places.ts"
import type { Tracks } from "./response-track.ts"
import { moveUsage } from "./usage-edit.ts"

/** For each delta that was told, what is to be told in its place. */
export type Told = readonly (Delta | undefined)[]

const KINDS: ReadonlyMap<string, ItemKind> = new Map([
  ["message", "message"],
  ["reasoning", "reasoning"],
  ["function_call", "call"],
  ["custom_tool_call", "call"],
])

export function kindOf(item: JsonObject | undefined): ItemKind {
  return KINDS.get(stringOf(item?.type) ?? "") ?? "other"
}

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

/** Makes the response's last word say what left: the items with their texts, those that were `added` among them. */
export function restateOutput(response: JsonObject, tracks: Tracks, added: readonly OutputItem[], shift: number): void {
  if (!Array.isArray(response.output)) return
  const items = response.output.flatMap((value, at) => {
    const item = objectOf(value)
    const track = tracks.named({ item_id: item?.id, output_index: at })
    // One that has failed says its items again without telling any of them: only those whose texts have left stay.
    const isUntold = response.status === "failed" && kindOf(item) !== "other"
    if (!item || !track) return isUntold ? [] : [{ at: at + shift, item: value }]
    return track.gone || track.isEmpty ? [] : [{ at: track.index ?? at, item: track.item(item) }]
  })
  const own = added.map((item) => ({ at: item.index, item: item.json }))
  response.output = [...items, ...own].toSorted((a, b) => a.at - b.at).map(({ item }) => item)
  if (own.length > 0 || tracks.all.some(({ changed }) => changed)) restateText(response)
}

/** Some servers say all texts once more, as SDKs do. */
export function restateText(response: JsonObject): void {
  if (typeof response.output_text === "string" && Array.isArray(response.output))
    response.output_text = arrayOf(response.output).map(textOfItem).join("")
}

/** What an item says to whom reads texts alone. */
function textOfItem(item: JsonValue): string {
  const json = objectOf(item)
  const parts = json?.type === "message" ? arrayOf(json.content).map(objectOf) : []
  return parts.map((part) => (part?.type === "output_text" ? (stringOf(part.text) ?? "") : "")).join("")
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
