/** An upstream's list of models, in whichever form it comes: OpenAI's, Anthropic's, Ollama's, Gemini's. Pure. */
import { isObject, type JsonObject, type JsonValue } from "llmproxy"
import { isModel } from "./check.ts"

export interface Listed {
  readonly id: string
  /** As the upstream has it. */
  readonly raw: JsonObject
}

/** Models of one upstream; more are left out. */
export const LISTED_MAX = 20_000
/** Characters of one entry as JSON: what is longer is listed by its id alone. */
const ENTRY_CHARS_MAX = 8_192

/** Undefined: it is no list. */
export function readList(text: string): { readonly models: readonly Listed[]; readonly leftOut: number } | undefined {
  const body = parsed(text)
  const list: JsonValue | undefined = isObject(body) ? (body.data ?? body.models) : body
  if (!Array.isArray(list)) return undefined
  const models: Listed[] = []
  const ids = new Set<string>()
  let leftOut = 0
  for (const entry of list) {
    const id = idOf(entry)
    if (id === undefined || ids.has(id)) continue
    if (models.length >= LISTED_MAX) {
      leftOut++
      continue
    }
    ids.add(id)
    models.push({ id, raw: rawOf(entry) })
  }
  return { models, leftOut }
}

/** Of a model that is known by its name alone. */
export function listedAs(id: string, context: number | undefined): Listed {
  return { id, raw: context === undefined ? {} : { context_length: context } }
}

function parsed(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function idOf(entry: JsonValue): string | undefined {
  if (!isObject(entry)) return undefined
  const { id, model, name } = entry
  const given = [id, model, name].find((one) => typeof one === "string" && one !== "")
  // Gemini's are called models/ID.
  const text = typeof given === "string" ? given.replace(/^models\//, "") : ""
  return isModel(text) ? text : undefined
}

function rawOf(entry: JsonValue): JsonObject {
  if (!isObject(entry)) return {}
  return JSON.stringify(entry).length > ENTRY_CHARS_MAX ? {} : entry
}
