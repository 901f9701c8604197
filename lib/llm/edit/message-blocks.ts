/** The blocks of an Anthropic message that is edited: what is known of one while it streams, and how its events look. */
import { isObject, type JsonObject, type JsonValue, objectOf } from "../../base/json.ts"
import { argumentsObject } from "../tool-arguments.ts"
import { type CallDelta, type Piece, pieceText } from "./pieces.ts"

export interface Raw {
  readonly raw: Buffer
  readonly json: JsonObject
}

/** A block of the stream that comes. */
export class Block {
  /** Its number where it comes, and where it leaves. */
  readonly number: number
  index: number | undefined
  /** What its pieces are; undefined for what no delta of ours tells. */
  key: string | undefined
  /** Waits for something to stand in the block. */
  start: Raw | undefined
  /** Of it, what waits for a text before it: citations, and what each is to be. */
  later: (readonly [event: Raw, changed: JsonObject | undefined])[] = []
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

  constructor(number: number) {
    this.number = number
  }
}

type Kind = "text" | "thinking" | "call"

const PIECES: Readonly<Record<Kind, readonly [type: string, field: string]>> = {
  text: ["text_delta", "text"],
  thinking: ["thinking_delta", "thinking"],
  call: ["input_json_delta", "partial_json"],
}

/** What a block is for that has no start, by the type of a piece of it: a call's number is not known. */
export function keyOfPart(type: JsonValue | undefined): string | undefined {
  return (["text", "thinking"] as const).find((kind) => PIECES[kind][0] === type)
}

/** A block without content, for a piece that has none. */
export function emptyBlock(piece: Piece, id: string): JsonObject {
  if (piece.type === "reasoning") return { type: "thinking", thinking: "", signature: "" }
  if (piece.type !== "toolCall") return { type: "text", text: "" }
  return { type: "tool_use", id: piece.id ?? `toolu_${id}_${piece.call}`, name: piece.name ?? "", input: {} }
}

/** The delta of a block that tells a piece. */
export function deltaOf(piece: Piece): JsonObject {
  const [type, field] = PIECES[kindOf(piece)]
  return { type, [field]: pieceText(piece) }
}

function kindOf({ type }: Piece): Kind {
  if (type === "toolCall") return "call"
  return type === "reasoning" ? "thinking" : "text"
}

/** Which block a piece belongs to. */
export function keyOf(piece: Piece): string {
  return piece.type === "toolCall" ? `call ${piece.call}` : kindOf(piece)
}

/** The start of a block that tells `told`; arguments only where they came with it, else a piece tells them. */
export function changedStart(json: JsonObject, told: Piece): JsonObject {
  const block = objectOf(json.content_block)
  if (told.type !== "toolCall") {
    const [, field] = PIECES[kindOf(told)]
    return { ...json, content_block: { ...block, [field]: told.text } }
  }
  const head = { ...block, ...callHead(told) }
  const isWhole = isObject(block?.input) && Object.keys(block.input).length > 0
  const input = isWhole ? { input: argumentsObject(told.arguments) } : {}
  return { ...json, content_block: { ...head, ...input } }
}

function callHead({ id, name }: CallDelta): JsonObject {
  return { ...(id === undefined ? {} : { id }), ...(name === undefined ? {} : { name }) }
}

export function withUsage(json: JsonObject, usage: JsonObject): JsonObject {
  const message = objectOf(json.message)
  return message ? { ...json, message: { ...message, usage } } : { ...json, usage }
}
