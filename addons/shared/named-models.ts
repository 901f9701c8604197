/**
 * What `models` tells of the names that it has made: for which hosts, and under which names there, an alias stands. Who prices a request
 * before it is on its way asks here; it is told again with each change, and whenever `models.names.wanted` is heard.
 */
import { type Events, isObject, type JsonValue } from "llmproxy"
import { isLike } from "./globs.ts"

const NAMES = "models.names"
const WANTED = "models.names.wanted"
/** Bytes of an event that are used; what comes behind is not told, and has no price beforehand. */
const BYTES_MAX = 6_500

/** Where a name may lead. `model`: what it is called there; undefined: the same. */
export interface NamedWay {
  /** With its port where that is not usual. */
  readonly host: string
  readonly model: string | undefined
}

/** A name, or a pattern with `*`, and where it may lead. */
export interface NamedModel {
  readonly pattern: string
  readonly ways: readonly NamedWay[]
}

/** Tells them now and to whoever asks later. `names`: as they are then. */
export async function tellNames(events: Events, names: () => readonly NamedModel[]): Promise<() => Promise<void>> {
  const tell = () => events.publish(NAMES, wire(names()))
  await events.subscribe(WANTED, tell)
  await tell()
  return tell
}

/** Hears them from now on; what it resolves to finds where a model's name may lead, [] where nobody has said so. */
export async function hearNames(events: Events): Promise<(model: string) => readonly NamedWay[]> {
  let known: readonly NamedModel[] = []
  await events.subscribe(NAMES, (value) => {
    known = read(value)
  })
  await events.publish(WANTED, true)
  return (model) => known.find(({ pattern }) => isLike(model, pattern))?.ways ?? []
}

function wire(names: readonly NamedModel[]): JsonValue {
  let bytes = 0
  return names
    .map(({ pattern, ways }) => ({ pattern, ways: ways.map(({ host, model }) => [host, model ?? null]) }))
    .filter((one) => {
      bytes += Buffer.byteLength(JSON.stringify(one)) + 1
      return bytes <= BYTES_MAX
    })
}

function read(value: JsonValue): NamedModel[] {
  return (Array.isArray(value) ? value : []).flatMap((one) => {
    if (!isObject(one) || typeof one.pattern !== "string" || !Array.isArray(one.ways)) return []
    const ways = one.ways.flatMap((way) => {
      const [host, model] = Array.isArray(way) ? way : []
      return typeof host === "string" ? [{ host, model: typeof model === "string" ? model : undefined }] : []
    })
    return [{ pattern: one.pattern, ways }]
  })
}
