/**
 * OpenAI's whole answers (not streamed), read and written for both dialects. Reading takes the same way as a chunk, so
 * a server that answers with one `chat.completion.chunk` as plain JSON is understood, too.
 */

import { isObject, type JsonObject, type JsonValue } from "../../base/json.ts"
import { completionFrom } from "../assemble.ts"
import type { EncodeContext, ParsedAnswer } from "../dialect.ts"
import type { Choice, Completion } from "../model.ts"
import { isErrorJson, readErrorJson } from "./errors.ts"
import { ChunkReader } from "./read.ts"
import { writeUsage } from "./write.ts"

// An error with a status below 400: LM Studio answers unknown paths so.
const OK_STATUS = 200

export function parseOpenAiAnswer(body: JsonValue): ParsedAnswer | undefined {
  if (!isObject(body)) return undefined
  if (isErrorJson(body)) return { error: readErrorJson(OK_STATUS, body) }
  if (!Array.isArray(body.choices)) return undefined
  return { completion: completionFrom(new ChunkReader().read(body), body) }
}

/** `usage` is left out where nobody counted: SDKs allow that, and a made-up 0 would be billed as one. */
export function writeOpenAiAnswer(
  completion: Completion,
  context: EncodeContext,
  object: "chat.completion" | "text_completion",
  writeChoice: (choice: Choice) => JsonObject,
): JsonObject {
  const answer: JsonObject = {
    id: completion.id ?? context.id,
    object,
    created: completion.created ?? context.created,
    model: completion.model ?? context.model,
    choices: completion.choices.map(writeChoice),
  }
  if (completion.usage.source !== "none") answer.usage = writeUsage(completion.usage)
  return answer
}
