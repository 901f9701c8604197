/**
 * Local-LLM-API's data/config.json, as it is: profiles by name, and beside them `SelectedModel`, the name of the one in use. What
 * is wrong is told with the line that it stands on. Pure.
 */
import { isObject, type JsonObject } from "llmproxy"
import { checkName, checkProfile, type Profile, profileFrom } from "./profile.ts"

export interface OldFile {
  readonly profiles: readonly Profile[]
  readonly selected: string | undefined
}

const SELECTED = "SelectedModel"
/** Of a file of profiles. */
const FILE_CHARS_MAX = 4_000_000

/** `file` is named in messages. Throws an Error of one line. */
export function readOldFile(text: string, file: string): OldFile {
  const value = parsed(text.replace(/^\uFEFF/, ""), file)
  const { [SELECTED]: selected, ...specs } = value
  if (selected !== undefined && selected !== null && typeof selected !== "string")
    throw new Error(`${file}:${lineOf(text, [SELECTED])}: ${SELECTED} must be the name of a profile`)
  const profiles: Profile[] = []
  for (const [name, spec] of Object.entries(specs)) {
    const [problem] = [...checkName(name), ...checkProfile([name], spec, true)]
    if (problem !== undefined)
      throw new Error(`${file}:${lineOf(text, problem.path)}: ${problem.path.join(".")} ${problem.message}`)
    if (isObject(spec)) profiles.push(profileFrom(name, spec, true))
  }
  if (typeof selected === "string" && !profiles.some(({ name }) => name === selected)) {
    const names = profiles.map(({ name }) => name).join(", ")
    const there = names === "" ? "there is none" : `there are ${names}`
    throw new Error(
      `${file}:${lineOf(text, [SELECTED])}: ${SELECTED} names ${JSON.stringify(selected.slice(0, 80))}, and no profile is called so; ${there}`,
    )
  }
  return { profiles, selected: typeof selected === "string" ? selected : undefined }
}

function parsed(text: string, file: string): JsonObject {
  if (text.length > FILE_CHARS_MAX) throw new Error(`${file}: it is longer than ${FILE_CHARS_MAX} characters`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    const at = /position (\d+)/.exec(message)?.[1]
    const line = at === undefined ? lastLine(text) : lineAt(text, Number(at))
    throw new Error(`${file}:${line}: it is no JSON: ${message.split("\n", 1)[0] ?? ""}`)
  }
  if (isObject(value)) return value
  throw new Error(`${file}:1: must be an object of profiles by name, as in {"${SELECTED}": "chat", "chat": {...}}`)
}

/** The line of a key, found by the keys on the way to it. */
function lineOf(text: string, path: readonly (string | number)[]): number {
  let at = 0
  for (const key of path) {
    const quoted = JSON.stringify(String(key))
    const found = text.indexOf(quoted, at)
    if (found === -1) break
    at = found + quoted.length
  }
  return lineAt(text, at)
}

function lineAt(text: string, at: number): number {
  let line = 1
  for (let index = text.indexOf("\n"); index !== -1 && index < at; index = text.indexOf("\n", index + 1)) line += 1
  return line
}

function lastLine(text: string): number {
  return lineAt(text, text.length)
}
