/**
 * What a message says, in whatever form its content has.
 */
import { arrayOf, isObject, type JsonValue, stringOf } from "../base/json.ts"

/**
 * Whether each part of a content that has a text has it as one. Where not, the request is of no dialect: somebody could
 * read a text there, and whoever is to see every text would not.
 */
export function areParts(content: JsonValue | undefined): boolean {
  return arrayOf(content).every((part) => !isObject(part) || typeof (part.text ?? "") === "string")
}

/** The text of a message's content: its text parts, a line each; other kinds have none. */
export function textOf(content: JsonValue | undefined): string {
  if (typeof content === "string") return content
  return arrayOf(content)
    .map((part) => (isObject(part) ? stringOf(part.text) : undefined))
    .filter((text) => text !== undefined)
    .join("\n")
}
