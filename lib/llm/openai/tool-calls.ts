/**
 * Which tool call a streamed piece belongs to. OpenAI numbers the calls of a choice with `index`; the servers that
 * imitate it leave the number out (Ollama before 0.4.7), give every call number 0 (Ollama 0.20), repeat, empty or split
 * the name (LM Studio, Gemini), or make a new id for each piece (vLLM). No piece may be lost or joined to the wrong call.
 * The input of a custom tool, which is any text, is told as arguments are.
 */
import { FlowError } from "../../base/errors.ts"
import { arrayOf, type JsonObject, type JsonValue, objectOf, stringOf } from "../../base/json.ts"
import type { Delta } from "../model.ts"
import { argumentsText, isWholeObject } from "../tool-arguments.ts"
import { WholeObjectScan } from "../whole-object.ts"

/** Calls in one choice. Each is remembered to the end of the answer, so an endless stream of them must end. */
export const TOOL_CALLS_MAX = 512

type ToolCallDelta = Extract<Delta, { type: "toolCall" }>

/** The error for a choice beyond TOOL_CALLS_MAX. */
export function tooManyCalls(choice: number): FlowError {
  const message = `decode the answer: choice ${choice} has more than ${TOOL_CALLS_MAX} tool calls`
  return new FlowError("upstream", "too-many-tool-calls", message)
}

interface Call {
  readonly number: number
  /** The provider's own number; undefined where it gave none. */
  readonly index: number | undefined
  /** Whether its arguments are whole: then nothing but white space can belong to it. */
  readonly scan: WholeObjectScan
  id: string | undefined
  name: string | undefined
}

interface Piece {
  readonly index: number | undefined
  readonly id: string | undefined
  readonly name: string | undefined
  readonly arguments: string
  /** Of a custom tool: its input need not be JSON. */
  readonly custom: boolean
}

/**
 * The calls of one choice. Our call numbers count from 0 in order of appearance, whatever the provider's are.
 * Throws a FlowError beyond TOOL_CALLS_MAX.
 */
export class ToolCallTracker {
  readonly #choice: number
  readonly #calls: Call[] = []

  constructor(choice: number) {
    this.#choice = choice
  }

  /** The pieces in a `tool_calls` array. In a whole `message` each element is a call of its own. */
  readCalls(value: JsonValue | undefined): ToolCallDelta[] {
    const touched = new Set<Call>()
    return arrayOf(value).flatMap((element) => {
      const entry = objectOf(element)
      if (!entry) return []
      const piece = pieceOf(entry)
      const known = this.#find(piece, touched)
      const call = known ?? this.#add(piece)
      touched.add(call)
      return [this.#delta(call, piece)]
    })
  }

  /** The legacy `function_call`: one call, without number and id. */
  readFunctionCall(value: JsonValue | undefined): ToolCallDelta[] {
    const entry = objectOf(value)
    if (!entry) return []
    const piece = pieceOf({ function: entry })
    return [this.#delta(this.#calls[0] ?? this.#add(piece), piece)]
  }

  /** The call that `piece` continues; undefined when it begins one. `touched`: those met in the same array. */
  #find(piece: Piece, touched: ReadonlySet<Call>): Call | undefined {
    if (piece.index !== undefined) {
      const call = this.#calls.findLast((known) => known.index === piece.index)
      return call && !isOther(call, piece, touched.has(call)) ? call : undefined
    }
    if (piece.id !== undefined) {
      const call = this.#calls.find((known) => known.id === piece.id && !touched.has(known))
      if (call) return call
    }
    const last = this.#calls.at(-1)
    if (!last || touched.has(last)) return undefined
    if (piece.id !== undefined && last.id !== undefined) return undefined
    return piece.name !== undefined && (last.name !== piece.name || isWholeObject(piece.arguments)) ? undefined : last
  }

  #add(piece: Piece): Call {
    if (this.#calls.length === TOOL_CALLS_MAX) throw tooManyCalls(this.#choice)
    const scan = new WholeObjectScan()
    const call = { number: this.#calls.length, index: piece.index, scan, id: undefined, name: undefined }
    this.#calls.push(call)
    return call
  }

  /** The id is told once, when first known; of the name only what is new, for some repeat it and some split it. */
  #delta(call: Call, piece: Piece): ToolCallDelta {
    const id = call.id === undefined ? piece.id : undefined
    const name = piece.name === call.name ? undefined : piece.name
    call.id ??= id
    call.scan.feed(piece.arguments)
    if (name !== undefined) call.name = (call.name ?? "") + name
    return { type: "toolCall", index: this.#choice, call: call.number, id, name, arguments: piece.arguments }
  }
}

/**
 * Whether `piece` has the number of `call` and is another call all the same: some servers give every call number 0.
 * `beside`: both stand in one array.
 */
function isOther(call: Call, piece: Piece, beside: boolean): boolean {
  if (piece.id !== undefined && piece.id === call.id) return false
  const otherId = piece.id !== undefined && call.id !== undefined
  if (otherId && (beside || piece.custom)) return true
  // What has a text cannot belong to arguments that are whole. Without one it may repeat the name, or be vLLM's last.
  if (call.scan.whole && piece.arguments.trim() !== "") return otherId || piece.name !== undefined
  if (piece.name === undefined) return false
  if (call.scan.whole) return otherId || piece.name !== call.name
  // A new id with the same name and a part of the arguments is vLLM's id per piece.
  return otherId && (piece.name !== call.name || isWholeObject(piece.arguments))
}

function pieceOf(entry: JsonObject): Piece {
  const { index } = entry
  const custom = objectOf(entry.custom)
  const fn = objectOf(entry.function) ?? custom ?? entry
  return {
    index: typeof index === "number" && index >= 0 ? index : undefined,
    id: nonEmpty(entry.id),
    name: nonEmpty(fn.name),
    // JSON text at OpenAI; Ollama and some others send the object itself.
    arguments: argumentsText(fn.arguments ?? custom?.input),
    custom: custom !== undefined,
  }
}

function nonEmpty(value: JsonValue | undefined): string | undefined {
  return stringOf(value) || undefined
}
