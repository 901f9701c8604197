/**
 * Which item of a response an event tells of. OpenAI says it twice, by `output_index` and by `item_id`; servers that
 * imitate it leave out one or both (llama.cpp has no index, and `item_id` may be the item's `call_id`), give every item
 * index 0, or make a new id for each event. An index counts first, then an id, then what is open.
 */
import { type JsonObject, numberOf, objectOf, stringOf } from "../../base/json.ts"

export type ItemKind = "message" | "reasoning" | "call" | "other"

const KINDS: ReadonlyMap<string, ItemKind> = new Map([
  ["message", "message"],
  ["reasoning", "reasoning"],
  ["function_call", "call"],
  ["custom_tool_call", "call"],
])

/** What an item tells of. */
export function kindOf(item: JsonObject | undefined): ItemKind {
  return KINDS.get(stringOf(item?.type) ?? "") ?? "other"
}

export interface Item {
  readonly number: number
  readonly kind: ItemKind
  /** It has ended: what names nobody tells of another one. */
  ended: boolean
  /** Some event has named it by an id. */
  identified: boolean
  /** Some piece of it did not say which part of the item it belongs to. */
  unparted: boolean
}

export class ItemCorrelation {
  readonly #byName = new Map<string, Item>()
  #count = 0
  #last: Item | undefined

  /** The item of an event; `kind` is what the event is about. `added`: the event says that an item begins. */
  find(json: JsonObject, kind: ItemKind, added = false): Item {
    const index = numberOf(json.output_index)
    const inner = objectOf(json.item)
    const ids = [json.item_id, inner?.id, json.call_id, inner?.call_id].flatMap((id) => stringOf(id) || [])
    const names = [...(index === undefined ? [] : [`#${index}`]), ...ids.map((id) => `id ${id}`)]
    const item = this.#known(names, ids.length > 0, kind, added) ?? this.#begin(kind)
    item.identified ||= ids.length > 0
    for (const name of names) this.#byName.set(name, item)
    this.#last = item
    return item
  }

  #known(names: readonly string[], identified: boolean, kind: ItemKind, added: boolean): Item | undefined {
    const named = names.map((name) => this.#byName.get(name)).filter((item) => item !== undefined)
    // An item that has ended does not begin again: the server gives every item the same index.
    const item = named.find((known) => known.kind === kind && !(added && known.ended))
    if (item !== undefined || added) return item
    const last = this.#last
    if (last === undefined || last.kind !== kind || last.ended) return undefined
    return names.length === 0 || (identified && !last.identified) ? last : undefined
  }

  #begin(kind: ItemKind): Item {
    const item = { number: this.#count++, kind, ended: false, identified: false, unparted: false }
    this.#last = item
    return item
  }
}
