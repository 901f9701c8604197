/**
 * How an addon that has names of its own for models (`profiles`) has them listed by `models`: it tells them when they change, and
 * again whenever `models.wanted` is heard, because nobody knows which of the two is loaded first.
 */
import { type Events, isObject, type JsonValue } from "llmproxy"
import { WANTED } from "./local-upstream.ts"

/** Before a profile's name in the place of a model's. */
export const PROFILE_ALIAS = "profile:"

const LISTED = "models.listed"
/** Bytes of an event that are used; what comes behind is asked for as well as ever, and not listed. */
const BYTES_MAX = 6_500

export interface ListedName {
  /** What clients write. */
  readonly id: string
  /** What is asked then. */
  readonly model: string
}

/** Tells whoever asks; what it resolves to tells them anew. `names`: as they are then. */
export async function tellListed(events: Events, names: () => readonly ListedName[]): Promise<() => Promise<void>> {
  const tell = () => events.publish(LISTED, wire(names()))
  await events.subscribe(WANTED, tell)
  await tell()
  return tell
}

export async function hearListed(events: Events, heard: (names: readonly ListedName[]) => void): Promise<void> {
  await events.subscribe(LISTED, (value) => heard(read(value)))
}

function wire(names: readonly ListedName[]): JsonValue {
  let bytes = 0
  return names
    .map(({ id, model }) => ({ id, model }))
    .filter((one) => {
      bytes += Buffer.byteLength(JSON.stringify(one)) + 1
      return bytes <= BYTES_MAX
    })
}

function read(value: JsonValue): ListedName[] {
  return (Array.isArray(value) ? value : []).flatMap((one) => {
    const { id, model } = isObject(one) ? one : {}
    return typeof id === "string" && typeof model === "string" ? [{ id, model }] : []
  })
}
