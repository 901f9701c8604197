/**
 * What of a conversation belongs together: a turn begins with what a user says and goes on to what the next one says, and a
 * call of a tool is never apart from what came of it, wherever that stands. Messages in any dialect's form. Pure.
 */
import { arrayOf, isObject, type JsonObject, stringOf } from "../../base/json.ts"
import type { Message } from "../model.ts"

/** Roles of what is said to the model by whoever runs the program. */
const SYSTEM_ROLES: ReadonlySet<string> = new Set(["system", "developer"])

export interface Turns {
  /** Indexes of system messages, wherever they stand. */
  readonly system: readonly number[]
  /** The first message that a user has written; undefined: none has. */
  readonly firstUser: number | undefined
  /** The indexes of each turn's messages, rising; the turns by their last message. Calls join turns to one. */
  readonly turns: readonly (readonly number[])[]
}

export function turnsOf(messages: readonly Message[]): Turns {
  const system: number[] = []
  const turns: number[][] = []
  /** By a call's id the index of the message that it was first met in. */
  const met = new Map<string, number>()
  let firstUser: number | undefined
  let isUsers = false
  for (const [index, message] of messages.entries()) {
    if (SYSTEM_ROLES.has(message.role)) {
      system.push(index)
      continue
    }
    const isUser = isWritten(message)
    if (isUser) firstUser ??= index
    // What a user says in several messages is one turn's beginning.
    if (turns.length === 0 || (isUser && !isUsers)) turns.push([])
    isUsers = isUser
    turns.at(-1)?.push(index)
    for (const id of callIdsOf(message)) {
      const before = met.get(id)
      if (before === undefined) met.set(id, index)
      else joinFrom(turns, before)
    }
  }
  return { system, firstUser, turns }
}

/** All turns from that with the message at `index` on become one. */
function joinFrom(turns: number[][], index: number): void {
  const at = turns.findLastIndex(([first = 0]) => first <= index)
  const into = turns[at]
  for (const turn of turns.splice(at + 1)) for (const one of turn) into?.push(one)
}

/** Whether a user has written it: what came of a tool has the user's role in some dialects. */
function isWritten({ role, content, type }: Message): boolean {
  if (role !== "user" || (type !== undefined && type !== "message")) return false
  if (!Array.isArray(content)) return true
  return content.length === 0 || content.some((part) => !isResult(part))
}

function isResult(part: unknown): boolean {
  return isObject(part) && stringOf(part.type)?.endsWith("tool_result") === true
}

/** The ids of the calls that a message makes, and of those whose results it brings. */
export function callIdsOf(message: Message): string[] {
  const parts = arrayOf(message.content).filter(isObject)
  const ids = [
    ...arrayOf(message.tool_calls).map((call) => (isObject(call) ? call.id : undefined)),
    message.tool_call_id,
    ...parts.filter(isCall).map(({ id }) => id),
    ...parts.filter(isResult).map(({ tool_use_id }) => tool_use_id),
    message.call_id,
  ]
  return ids.filter((id) => typeof id === "string")
}

function isCall({ type }: JsonObject): boolean {
  return stringOf(type)?.endsWith("tool_use") === true
}
