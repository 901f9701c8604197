/** The blocks of an Anthropic message that is edited: what is known of one while it streams, and how its events look. */
import { type JsonObject, objectOf } from "../../base/json.ts"
import type { Delta } from "../model.ts"
import { argumentsObject } from "../tool-arguments.ts"
import { type CallDelta, type Piece, pieceText } from "./pieces.ts"

export interface Raw {
  readonly raw: Buffer
  readonly json: JsonObject
}

/** A block of the stream that comes. */
export class Block {
  /** Its number where it leaves. */
  index: number | undefined
  /** What its pieces are; undefined for what no delta of ours tells. */
  key: string | undefined
  /** Waits for something to stand in the block. */
  start: Raw | undefined
  /** Of it, what waits for a text before it: citations. */
  later: Raw[] = []
  /** Has come, and waits for what may have been held back. */
  stop: Raw | undefined
  /** Something that it told was taken from it. */
  taken = false
  /** Something of it leaves otherwise, and more may come late. */
  late = false
  /** An addon has dropped it whole. */
  gone = false
  /** Its arguments have come with its start; they have left with it, and may be said again. */
  whole = false
  repeats = ""
}

export const PIECES: Readonly<Record<string, readonly [type: string, field: string]>> = {
  text: ["text_delta", "text"],
  thinking: ["thinking_delta", "thinking"],
  call: ["input_json_delta", "partial_json"],
}

/** A block without content, for a piece that has none. */
export function emptyBlock(piece: Piece, id: string): JsonObject {
  if (piece.type === "reasoning") return { type: "thinking", thinking: "", signature: "" }
  if (piece.type !== "toolCall") return { type: "text", text: "" }
  return { type: "tool_use", id: piece.id ?? `toolu_${id}_${piece.call}`, name: piece.name ?? "", input: {} }
}

/** The delta of a block that tells a piece. */
export function deltaOf(piece: Piece): JsonObject {
  const [type, field] = PIECES[piece.type === "toolCall" ? "call" : keyOf(piece)] ?? ["text_delta", "text"]
  return { type, [field]: pieceText(piece) }
}

/** Which block a piece belongs to. */
export function keyOf(piece: Piece): string {
  if (piece.type === "toolCall") return `call ${piece.call}`
  return piece.type === "reasoning" ? "thinking" : "text"
}

/** The start of a block that tells `told`. */
export function changedStart(json: JsonObject, told: Delta, given?: Delta): JsonObject | undefined {
  const block = objectOf(json.content_block) ?? {}
  if ("text" in told)
    return { ...json, content_block: { ...block, [block.type === "thinking" ? "thinking" : "text"]: told.text } }
  if (told.type !== "toolCall") return undefined
  const head = callHead(told)
  const input = given === undefined && Object.keys(objectOf(block.input) ?? {}).length > 0
  const changed = input ? { ...block, ...head, input: argumentsObject(told.arguments) } : { ...block, ...head }
  return { ...json, content_block: changed }
}

function callHead({ id, name }: CallDelta): JsonObject {
  return { ...(id === undefined ? {} : { id }), ...(name === undefined ? {} : { name }) }
}

export function withUsage(json: JsonObject, usage: JsonObject): JsonObject {
  const message = objectOf(json.message)
  return message ? { ...json, message: { ...message, usage } } : { ...json, usage }
}
