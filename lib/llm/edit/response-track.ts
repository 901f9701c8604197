/**
 * What is known of one item of a response that is edited: its texts as they came and as they left, and the events that
 * wait. A stream says each text up to four times more (part, item, response); they get the text that left.
 */
import { arrayOf, isObject, type JsonObject, type JsonValue, numberOf, objectOf, stringOf } from "../json.ts"
import type { Delta } from "../model.ts"
import { type Item, ItemCorrelation, type ItemKind } from "../responses-correlate.ts"
import type { Piece, TextType } from "./pieces.ts"
import { dropTokens } from "./repeats.ts"

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

  /** Whether a text of it does not leave as it came. */
  get changed(): boolean {
    return Object.keys(this.head).length > 0 || [...this.#said.values()].some(({ came, left }) => came !== left)
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

  /** `event` with the texts that left; undefined where it says what it said. */
  restated({ json, type }: Raw): JsonObject | undefined {
    if (!this.changed) return undefined
    const base = type.slice(0, type.lastIndexOf("."))
    const field = TEXTS.get(base)?.[1] ?? ARGUMENTS.get(base)
    if (field !== undefined) return this.#fields(json, ARGUMENTS.has(base) ? CALL : partOf(base, json), field)
    if (isObject(json.item)) return { ...json, item: this.item(json.item) }
    if (isObject(json.part)) return { ...json, part: this.#part(json.part, partNumber(json)) }
    return undefined
  }

  /** An item with the texts that left. */
  item(item: JsonObject): JsonObject {
    if (this.bare) return { ...item, encrypted_content: undefined }
    if (!this.changed) return item
    const name = ["arguments", "input"].find((field) => typeof item[field] === "string")
    if (name !== undefined && this.key?.startsWith(CALL)) return this.#fields(item, CALL, name)
    const parts = (list: JsonValue | undefined) =>
      arrayOf(list).map((part, at) => (isObject(part) ? this.#part(part, at) : part))
    const changed = { ...item }
    for (const list of ["content", "summary"]) if (Array.isArray(item[list])) changed[list] = parts(item[list])
    return changed
  }

  #part(part: JsonObject, at: number): JsonObject {
    const base = PART_EVENTS.get(stringOf(part.type) ?? "")
    const field = base === undefined ? undefined : TEXTS.get(base)?.[1]
    return field === undefined ? part : this.#fields(part, `${base} ${at}`, field)
  }

  /** What of a changed item nobody was told of does not stay: it may say the same. */
  #fields(json: JsonObject, part: string, field: string): JsonObject {
    const said = this.#said.get(part)
    const { call_id, name } = this.head
    const head = {
      ...(call_id === undefined || json.call_id === undefined ? {} : { call_id }),
      ...(name === undefined || json.name === undefined ? {} : { name }),
    }
    if (said !== undefined && said.came === said.left) return { ...json, ...head }
    if (typeof json[field] !== "string" || json[field] === "") return { ...json, ...head }
    const changed: JsonObject = { ...json, ...head, [field]: said?.left ?? "" }
    dropTokens(changed)
    return changed
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

  /** The item of an event that the reader asks for as well; `step`: the event begins or ends it. */
  find(json: JsonObject, kind: ItemKind, step?: "added" | "done"): Track {
    const item = this.#items.find(json, kind, step === "added")
    const track = this.#tracks.get(item) ?? new Track(numberOf(json.output_index))
    if (!this.#tracks.has(item)) {
      track.key = kind === "call" ? `call ${this.#calls++}` : kind === "other" ? undefined : kind
      this.#tracks.set(item, track)
    }
    for (const id of [stringOf(json.item_id), stringOf(objectOf(json.item)?.id)]) if (id) this.#byId.set(id, track)
    if (step === "done") item.ended = true
    return track
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
    const base = PART_EVENTS.get(stringOf(json.type) ?? "")
    const field = base === undefined ? undefined : TEXTS.get(base)?.[1]
    const text = field === undefined ? undefined : stringOf(json[field])
    return base === undefined || !text ? [] : [{ part: `${base} ${at}`, text }]
  })
}
