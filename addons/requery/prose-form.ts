/**
 * A form that a prompt asks for in prose: `Respond as JSON of the form {"plan": [{"description": "..."}]}`. It is an example and
 * no schema, and says nothing of what else may be answered; so it tells one thing alone, which lists of GPT Pilot's kind must
 * have something in them.
 */
import { isObject, type JsonObject, type JsonValue } from "llmproxy"
import { findJson } from "./json-find.ts"
import { mendJson } from "./json-mend.ts"

/** Characters of an example that are read. */
const EXAMPLE_CHARS_MAX = 20_000
/** Mentions of JSON that are looked at, the last ones. */
const MENTIONS_MAX = 20
/** Characters before "JSON" in which the answer is asked for, and behind it in which the example begins. */
const ASKING_CHARS = 120
const LEADING_CHARS = 200

const ASKS = /\b(?:respond|response|answer|reply|return|output|produce|give|write|format)\b/i
/** Three dots for more of the same, which no JSON has. */
const MORE = /,?\s{0,20}(?:\.{3}|\u2026)(?=\s{0,20}[\]}])/g

/** The object of the last example that a text asks to be answered with; undefined: there is none. */
export function exampleIn(text: string): JsonObject | undefined {
  const mentions = [...text.matchAll(/\bJSON\b/gi)].slice(-MENTIONS_MAX).toReversed()
  for (const { index } of mentions) {
    if (!ASKS.test(text.slice(Math.max(0, index - ASKING_CHARS), index))) continue
    const example = objectBehind(text, index + "JSON".length)
    if (example !== undefined) return example
  }
  return undefined
}

/** Keys of an example whose lists are GPT Pilot's: a plan of descriptions, tasks of a kind. */
export function listsIn({ plan, tasks }: JsonObject): string[] {
  return [...(hasKey(plan, "description") ? ["plan"] : []), ...(hasKey(tasks, "type") ? ["tasks"] : [])]
}

function hasKey(list: JsonValue | undefined, key: string): boolean {
  const [item] = Array.isArray(list) ? list : []
  return isObject(item) && key in item
}

function objectBehind(text: string, from: number): JsonObject | undefined {
  const start = text.indexOf("{", from)
  if (start === -1 || start - from > LEADING_CHARS) return undefined
  const rest = text.slice(start, start + EXAMPLE_CHARS_MAX)
  const first = findJson(rest).values.find((value) => value.start === 0)
  if (first?.end === undefined) return undefined
  try {
    const value: unknown = JSON.parse(mendJson(rest.slice(0, first.end).replace(MORE, "")))
    return isObject(value) ? value : undefined
  } catch {
    return undefined // It is no JSON, and so no example of any.
  }
}
