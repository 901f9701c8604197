/**
 * One event of a stream, to be edited where it stands: its JSON is found in its bytes, and what of it changes is replaced
 * there. All else, the event's other fields and line ends included, keeps its bytes.
 */
import { type JsonValue, parseJson } from "../../base/json.ts"
import { SseDecoder } from "../framing/sse.ts"
import { deepCopy, editJson } from "../spans.ts"

/** Only objects are edited, and an event may be any JSON. */
const WRAP = '{"_":'

interface Document {
  readonly source: string
  readonly json: JsonValue
  /** A copy of `json`, to be changed. */
  value: JsonValue
}

export class EventDraft {
  /** Mostly one; several where a server ends its events with one line end instead of two; none of what holds no JSON. */
  readonly documents: readonly Document[]
  /** The event's name, where it has one. */
  readonly name: string | undefined
  readonly #raw: Buffer
  #newName: string | undefined

  /** A line of JSON is an event as well. */
  static of(raw: Buffer): EventDraft {
    const line = raw.toString("utf8").trim()
    if (line.startsWith("{") || line.startsWith("[")) return new EventDraft(raw, line, undefined)
    const sse = new SseDecoder()
    const [event] = [...sse.feed(raw), ...sse.finish()]
    return new EventDraft(raw, event?.data ?? bareIn(line), event?.event)
  }

  private constructor(raw: Buffer, text: string, name: string | undefined) {
    this.#raw = raw
    this.documents = documentsIn(text)
    this.name = name
  }

  /** What its JSON, the first where there are several, is to be. */
  set(value: JsonValue): this {
    for (const document of this.documents.slice(0, 1)) document.value = value
    return this
  }

  /** Another name for the event, if it has one. */
  rename(name: string): void {
    if (this.name !== undefined && this.name !== name) this.#newName = name
  }

  /** The event with what was changed; the bytes that came where nothing was. */
  bytes(): Buffer {
    const all = this.#edited()
    return this.#newName === undefined ? all : Buffer.from(renamed(all.toString("utf8"), this.#newName))
  }

  #edited(): Buffer {
    let rest = this.#raw
    const pieces: Buffer[] = []
    for (const { source, json, value } of this.documents) {
      const text = edited(source, json, value)
      const bytes = Buffer.from(source)
      const at = rest.indexOf(bytes)
      if (at === -1) return this.#laidOut()
      if (text !== source) {
        pieces.push(rest.subarray(0, at), Buffer.from(text))
        rest = rest.subarray(at + bytes.length)
      }
    }
    return pieces.length === 0 ? this.#raw : Buffer.concat([...pieces, rest])
  }

  /** JSON over several lines of data has no text of its own in the bytes: the lines are written again. */
  #laidOut(): Buffer {
    const texts = this.documents.map(({ source, json, value }) => edited(source, json, value))
    if (texts.every((text, at) => text === this.documents[at]?.source)) return this.#raw
    const raw = this.#raw.toString("utf8")
    const end = raw.includes("\r\n") ? "\r\n" : raw.includes("\r") ? "\r" : "\n"
    const others = raw.split(end).filter((line) => line !== "" && !/^(?:\uFEFF)?data\b/.test(line))
    const lines = texts.flatMap((text) => text.split("\n")).map((line) => `data: ${line}`)
    return Buffer.from([...others, ...lines, "", ""].join(end))
  }
}

function renamed(text: string, name: string): string {
  return text.replace(/^(\uFEFF?event: ?)[^\r\n]*/m, (_, field: string) => field + name)
}

/** JSON that stands without `data:`, below other fields or as a line of its own. */
function bareIn(event: string): string {
  return /^\{.*/ms.exec(event)?.[0] ?? event
}

function documentsIn(text: string): Document[] {
  const json = parseJson(text)
  if (json !== undefined) return [documentOf(text.trim(), json)]
  return text.split("\n").flatMap((line) => {
    const one = parseJson(line)
    return one === undefined ? [] : [documentOf(line.trim(), one)]
  })
}

function documentOf(source: string, json: JsonValue): Document {
  return { source, json, value: deepCopy(json) }
}

/** `source` with the changes from `json`, what it parses to, to `value`. */
export function edited(source: string, json: JsonValue, value: JsonValue): string {
  return editJson(`${WRAP}${source}}`, { _: json }, { _: value }).slice(WRAP.length, -1)
}
