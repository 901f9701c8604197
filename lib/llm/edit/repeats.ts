/**
 * Where providers say a text again beside the text itself: as tokens with their probabilities, as numbers of tokens, as
 * OpenRouter's details. An edited text must not stand there as it was.
 */
import { arrayOf, isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../json.ts"

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

/** Members of OpenRouter's `reasoning_details` that say text, with what holds them. */
export function detailsOf(message: JsonObject): [detail: JsonObject, name: string][] {
  return arrayOf(message.reasoning_details).flatMap((value) => {
    const detail = objectOf(value)
    const name = detail && detailName(detail)
    return detail === undefined || name === undefined ? [] : [[detail, name]]
  })
}

function detailName(detail: JsonObject): string | undefined {
  return ["text", "summary"].find((field) => stringOf(detail[field]))
}

/** OpenRouter's `reasoning_details` say the reasoning again; what is encrypted there is not ours to touch. */
export function editDetails(message: JsonObject, before: string, after: string): void {
  if (!Array.isArray(message.reasoning_details)) return
  let placed = false
  message.reasoning_details = arrayOf(message.reasoning_details).flatMap((value): JsonValue[] => {
    const detail = objectOf(value) ?? {}
    const name = detailName(detail)
    if (name === undefined) return [value]
    if (placed || detail[name] !== before || after === "") return []
    placed = true
    return [{ ...detail, [name]: after }]
  })
}
