/**
 * Which of OpenAI's encodings a model's name stands for. A name that is none of OpenAI's gets the newest encoding:
 * local models bring vocabularies that are not bundled, and the caller's ratio corrects for them.
 * Source: tiktoken's model table.
 */
export type EncodingName = "o200k_base" | "o200k_harmony" | "cl100k_base"

/** A rank table. o200k_harmony adds special tokens only, so ordinary text counts the same with o200k_base's. */
export type TableName = "o200k_base" | "cl100k_base"

export interface ModelEncoding {
  readonly encoding: EncodingName
  /** Whether the name is one of OpenAI's, so that a count with this encoding is the model's own. */
  readonly known: boolean
}

// The first prefix that fits decides: "gpt-4o" and "gpt-4.1" must come before "gpt-4".
const PREFIXES: readonly (readonly [prefix: string, encoding: EncodingName])[] = [
  ["gpt-oss", "o200k_harmony"],
  ["gpt-4o", "o200k_base"],
  ["gpt-4.1", "o200k_base"],
  ["gpt-4.5", "o200k_base"],
  ["gpt-5", "o200k_base"],
  ["chatgpt-4o", "o200k_base"],
  ["o1", "o200k_base"],
  ["o3", "o200k_base"],
  ["o4", "o200k_base"],
  ["gpt-4", "cl100k_base"],
  ["gpt-3.5", "cl100k_base"],
  ["gpt-35", "cl100k_base"],
  ["text-embedding-", "cl100k_base"],
  ["davinci-002", "cl100k_base"],
  ["babbage-002", "cl100k_base"],
]

/** `ft:gpt-4o:acme::id` and `openai/gpt-4o` name the model in their middle or at their end. */
export function bareModel(model: string): string {
  const name = model.slice(model.lastIndexOf("/") + 1).toLowerCase()
  return name.startsWith("ft:") ? name.slice(3) : name
}

export function encodingFor(model: string): ModelEncoding {
  const name = bareModel(model)
  for (const [prefix, encoding] of PREFIXES) {
    if (hasPrefix(name, prefix)) return { encoding, known: true }
  }
  return { encoding: "o200k_base", known: false }
}

export function tableOf(encoding: EncodingName): TableName {
  return encoding === "cl100k_base" ? "cl100k_base" : "o200k_base"
}

/** "o1" names o1 and o1-mini, not o1x; "gpt-4" names gpt-4 and gpt-4-turbo, not gpt-40; "gpt-4o" also gpt-4o-mini. */
function hasPrefix(name: string, prefix: string): boolean {
  if (!name.startsWith(prefix)) return false
  const next = name.charAt(prefix.length)
  return prefix.endsWith("-") || !/[a-z0-9]/.test(next)
}
