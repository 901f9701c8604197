/**
 * What is known of one item of a response that is edited: its texts as they came and as they left, and the events that
 * wait. A stream says each text up to four times more (part, item, response); they get the text that left.
 */
import { arrayOf, isObject, type JsonObject, numberOf, objectOf, stringOf } from "../../base/json.ts"
import type { Delta } from "../model.ts"
import { type Item, ItemCorrelation, type ItemKind, kindOf } from "../responses/correlate.ts"
import { deepCopy, deepEqual } from "../spans.ts"
import type { Piece, TextType } from "./pieces.ts"
import { dropTokens } from "./repeats.ts"
import { dropUntold, Read } from "./untold.ts"

/** An event as it came. `at`: how many came before it. */
export interface Raw {
  readonly raw: Buffer
  readonly json: JsonObject
  readonly type: string
  readonly at: number
}

/** One text of an item: as it came, and as it left. */
interface Said {
  came: string
  left: string
}

/** Events that tell a text: what it is to us, and the field that says it whole. */
export const TEXTS: ReadonlyMap<string, readonly [TextType, string]> = new Map([
  ["response.output_text", ["text", "text"]],
  ["response.refusal", ["refusal", "refusal"]],
  ["response.reasoning_text", ["reasoning", "text"]],
  ["response.reasoning_summary_text", ["reasoning", "text"]],
])

export const ARGUMENTS: ReadonlyMap<string, string> = new Map([
  ["response.function_call_arguments", "arguments"],
  ["response.custom_tool_call_input", "input"],
])

const PART_EVENTS: ReadonlyMap<string, string> = new Map([
  ["output_text", "response.output_text"],
  ["refusal", "response.refusal"],
  ["reasoning_text", "response.reasoning_text"],
  ["summary_text", "response.reasoning_summary_text"],
])

/** The one text of a call. */
const CALL = "call"

export class Track {
  /** Where it stood, and where it stands where it leaves. */
  readonly source: number | undefined
  index: number | undefined
  kind: ItemKind | undefined
  /** Which pieces are its own; undefined for what no delta of ours tells. */
  key: string | undefined
  /** Events that wait for something to stand in the item. */
  opening: Raw[] = []
  /** Events that wait for a text before them. */
  later: Raw[] = []
  /** Events that say texts whole, and wait for what may have been held back. */
  closing: Raw[] = []
  ended = false
  /** All of one piece of it was taken; some of it, which may come late. */
  taken = false
  late = false
  /** Some event of it has left. */
  begun = false
  gone = false
  /** It has ended, and nothing of it has left: what comes late may bring it back. */
  parked = false
  /** What it holds encrypted was dropped. */
  bare = false
  /** The last event that told a piece of each kind, to write another like it. */
  readonly templates = new Map<Piece["type"], Raw>()
  /** What an addon calls the call. */
  readonly head: JsonObject = {}
  readonly #said = new Map<string, Said>()
  readonly #last = new Map<Piece["type"], string>()

  constructor(source: number | undefined) {
    this.source = source
  }

  /** Its number where it leaves, if others have moved by `shift`. */
  indexAt(shift: number): number | undefined {
    return this.index ?? (this.source === undefined ? undefined : this.source + shift)
  }

  /** What has left of its text, without refusals. */
  get text(): string {
    const texts = [...this.#said].filter(([part]) => part.startsWith("response.output_text "))
    return texts.map(([, { left }]) => left).join("")
  }

  /** Whether all that it told was taken, and no event of it has left. */
  get isEmpty(): boolean {
    return this.taken && !this.begun && [...this.#said.values()].every(({ left }) => left === "")
  }

  /** What an addon calls the call from now on; `given` is what came. */
  nameAs(given: Delta | undefined, told: Delta): void {
    if (told.type !== "toolCall") return
    const before = given?.type === "toolCall" ? given : undefined
    if (told.id !== undefined && told.id !== before?.id) this.head.call_id = told.id
    if (told.name !== undefined && told.name !== before?.name) this.head.name = told.name
  }

  knows(part: string): boolean {
    return this.#said.has(part)
  }

  tell(type: Piece["type"], part: string, came: string, left: string): void {
    const said = this.#said.get(part) ?? { came: "", left: "" }
    said.came += came
    said.left += left
    this.#said.set(part, said)
    this.#last.set(type, part)
  }

  /** More of the last text of its kind. */
  add(type: Piece["type"], text: string): void {
    this.tell(type, this.#last.get(type) ?? CALL, "", text)
  }

  /** `event` with the texts that left, and none that nobody was told of; undefined where it says just that. */
  restated({ json, type }: Raw): JsonObject | undefined {
    if (type.endsWith(".delta")) return undefined
    const base = type.slice(0, type.lastIndexOf("."))
    const field = TEXTS.get(base)?.[1] ?? ARGUMENTS.get(base)
    if (field === undefined && !isObject(json.item) && !isObject(json.part)) return undefined
    const copy = deepCopy(json)
    if (field !== undefined) this.#restate(copy, ARGUMENTS.has(base) ? CALL : partOf(base, json), field)
    else if (isObject(copy.item)) this.#restateItem(copy.item)
    else if (isObject(copy.part)) this.#restatePart(copy.part, partNumber(json))
    return deepEqual(copy, json) ? undefined : copy
  }

  /** An item with the texts that left, and no others. */
  item(item: JsonObject): JsonObject {
    const copy = deepCopy(item)
    this.#restateItem(copy)
    return copy
  }

  /** Whether it has told all of these texts, as they came. */
  hasSaid(texts: readonly string[]): boolean {
    const came = [...this.#said.values()].map((said) => said.came)
    return texts.length > 0 && texts.every((text) => came.includes(text))
  }

  #restateItem(item: JsonObject): void {
    const kind = kindOf(item)
    // What an addon is told of whole is nothing of ours.
    if (kind === "other") return
    if (this.bare) item.encrypted_content = undefined
    const read = new Read()
    const name = ["arguments", "input"].find((field) => typeof item[field] === "string")
    if (kind === "call" && name !== undefined) {
      this.#restate(item, CALL, name)
      read.add(item, name)
    }
    for (const list of ["content", "summary"]) {
      const parts = item[list]
      if (!Array.isArray(parts)) continue
      for (const [at, part] of parts.entries()) {
        if (isObject(part)) this.#restatePart(part, at, kind)
        else parts[at] = null
      }
      read.add(item, list)
    }
    dropUntold(item, read)
  }

  #restatePart(part: JsonObject, at: number, kind?: ItemKind): void {
    const [base, field] = fieldOf(part, kind ?? (this.key === "reasoning" ? "reasoning" : "message"))
    this.#restate(part, `${base} ${at}`, field)
    dropUntold(part, new Read().add(part, field))
  }

  #restate(json: JsonObject, part: string, field: string): void {
    const { call_id, name } = this.head
    if (call_id !== undefined && json.call_id !== undefined) json.call_id = call_id
    if (name !== undefined && json.name !== undefined) json.name = name
    const text = json[field]
    if (text === undefined || text === null || text === "") return
    const left = typeof text === "string" ? this.#left(part, text) : ""
    if (left === text) return
    json[field] = left
    dropTokens(json)
  }

  /** What of a text that is said again has left. Servers say it trimmed, joined or under another number as well. */
  #left(part: string, text: string): string {
    const known = this.#said.get(part)
    if (known?.came === text) return known.left
    const all = [...this.#said.values()]
    const same = all.find(({ came }) => came === text)
    if (same !== undefined) return same.left
    const isTold = all.every(({ came, left }) => came === left) && all.some(({ came }) => came.includes(text))
    return isTold ? text : (known?.left ?? "")
  }
}

/** The items of a response, told apart as the reader tells them. */
export class Tracks {
  readonly #items = new ItemCorrelation()
  readonly #tracks = new Map<Item, Track>()
  readonly #byId = new Map<string, Track>()
  #calls = 0

  get all(): Track[] {
    return [...this.#tracks.values()]
  }

  /** All texts of messages that have left. */
  get texts(): string {
    return this.all.map((track) => (track.kind === "message" && !track.gone ? track.text : "")).join("")
  }

  /** The item of an event that the reader asks for as well; `step`: the event begins or ends it. */
  find(json: JsonObject, kind: ItemKind, step?: "added" | "done"): Track {
    const item = this.#items.find(json, kind, step === "added")
    const track = this.#tracks.get(item) ?? new Track(numberOf(json.output_index))
    if (!this.#tracks.has(item)) {
      track.kind = kind
      track.key = kind === "call" ? `call ${this.#calls++}` : kind === "other" ? undefined : kind
      this.#tracks.set(item, track)
    }
    for (const id of [stringOf(json.item_id), stringOf(objectOf(json.item)?.id)]) if (id) this.#byId.set(id, track)
    if (step === "done") item.ended = true
    return track
  }

  /** The item that is said again as the one at `at` of a response: by its id, by what it says, by its place. */
  saying(item: JsonObject, at: number, except: ReadonlySet<Track>): Track | undefined {
    const kind = kindOf(item)
    const free = this.all.filter((track) => track.kind === kind && !except.has(track))
    const named = this.#byId.get(stringOf(item.id) ?? "")
    if (named !== undefined && (kind === "other" || free.includes(named))) return named
    const texts =
      kind === "call" ? [stringOf(item.arguments ?? item.input) ?? ""] : textsOf(item).map(({ text }) => text)
    const same = free.find((track) => track.hasSaid(texts))
    return same ?? free.findLast(({ source }) => source === at)
  }

  /** The item that an event of a part names, or tells of. */
  withPart(json: JsonObject): Track | undefined {
    const text = stringOf(objectOf(json.part)?.text) || stringOf(objectOf(json.part)?.refusal)
    return this.named(json) ?? (text ? this.all.findLast((track) => track.hasSaid([text])) : undefined)
  }

  /** The item that an event names, for events that the reader does not ask for. */
  named(json: JsonObject): Track | undefined {
    const index = numberOf(json.output_index)
    return this.#byId.get(stringOf(json.item_id) ?? "") ?? (index === undefined ? undefined : this.#at(index))
  }

  #at(index: number): Track | undefined {
    return this.all.findLast(({ source }) => source === index)
  }
}

/** Which text of an item an event is about. */
export function partOf(base: string, json: JsonObject): string {
  return `${base} ${partNumber(json)}`
}

function partNumber(json: JsonObject): number {
  return numberOf(json.content_index) ?? numberOf(json.summary_index) ?? 0
}

/** The texts that an item says whole, in the order in which they are told, with their parts. */
export function textsOf(item: JsonObject): { part: string; text: string }[] {
  const parts = [item.content, item.summary].flatMap((list) => arrayOf(list).map((part, at) => ({ part, at })))
  return parts.flatMap(({ part, at }) => {
    const json = objectOf(part) ?? {}
    const [base, field] = fieldOf(json, kindOf(item))
    const text = stringOf(json[field])
    return text ? [{ part: `${base} ${at}`, text }] : []
  })
}

/** Which text a part of an item is, and the field that says it: those that the reader takes it from. */
function fieldOf(part: JsonObject, kind: ItemKind): readonly [base: string, field: string] {
  const base = PART_EVENTS.get(stringOf(part.type) ?? "")
  if (base === undefined)
    return kind === "reasoning" ? ["response.reasoning_text", "text"] : ["response.output_text", "text"]
  return [base, TEXTS.get(base)?.[1] ?? "text"]
}
