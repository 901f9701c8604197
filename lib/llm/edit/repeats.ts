/**
 * Where providers say a text again beside the text itself: as tokens with their probabilities, as numbers of tokens, as
 * OpenRouter's details. An edited text must not stand there as it was.
 */
import { arrayOf, isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../../base/json.ts"
import { detailName } from "../openai/read.ts"

/** Members that hold the tokens of an answer: as texts (logprobs) or as numbers. */
const TOKENS = ["logprobs", "completion_probabilities", "token_ids", "tokens", "context"]

/** Takes the tokens of an edited text from what stands around it. */
export function dropTokens(holder: JsonObject): void {
  for (const name of TOKENS) {
    const value = holder[name]
    if (Array.isArray(value) && value.length > 0) holder[name] = []
    else if (isObject(value) && Object.values(value).some((list) => arrayOf(list).length > 0)) holder[name] = null
  }
}

/**
 * OpenRouter's `reasoning_details` say the reasoning again; what is encrypted there is not ours to touch. The first detail
 * that says `before` says `after` now; undefined: the reasoning stands nowhere else, and any detail says a part of it.
 */
export function editDetails(message: JsonObject, before: string | undefined, after: string): void {
  if (!Array.isArray(message.reasoning_details)) return
  let placed = after === ""
  message.reasoning_details = arrayOf(message.reasoning_details).flatMap((value): JsonValue[] => {
    const detail = objectOf(value) ?? {}
    const name = detailName(detail)
    if (name === undefined) return [value]
    if (placed || (before !== undefined && !isSameSaid(stringOf(detail[name]), before))) return []
    placed = true
    return [{ ...detail, [name]: after }]
  })
}

/** Servers say a text again with other white space around it. */
export function isSameSaid(again: string | undefined, text: string): boolean {
  return again?.trim() === text.trim()
}
