/**
 * What a message says, in whatever form its content has.
 */
import { arrayOf, isObject, type JsonValue, stringOf } from "../base/json.ts"

/** The text of a message's content: its text parts, a line each; other kinds have none. */
export function textOf(content: JsonValue | undefined): string {
  if (typeof content === "string") return content
  return arrayOf(content)
    .map((part) => (isObject(part) ? stringOf(part.text) : undefined))
    .filter((text) => text !== undefined)
    .join("\n")
}
