/** Local-LLM-API's data/sessions.json: sessions by number, what was said as texts that begin with who says it. Pure. */
import { isObject, type Message } from "llmproxy"
import { ID_RULE, idOf } from "./ids.ts"

export interface OldSession {
  readonly id: string
  readonly name: string
  readonly messages: readonly Message[]
}

/** Of a file of sessions. */
const FILE_CHARS_MAX = 500_000_000
/** Which session was the last: nothing of it is needed. */
const ACTIVE = "Active"
const SPEAKERS = [
  { prefix: "Human: ", role: "user" },
  { prefix: "AI: ", role: "assistant" },
  { prefix: "System: ", role: "system" },
] as const

/** Throws an Error that says what is wrong, and in which session. */
export function readOldSessions(text: string): OldSession[] {
  let value: unknown
  try {
    value = text.length > FILE_CHARS_MAX ? undefined : JSON.parse(text.replace(/^\uFEFF/, ""))
  } catch {
    throw new Error("it is no JSON")
  }
  if (!isObject(value))
    throw new Error('it is no object of sessions by id, as in {"Active": 1, "1": {"name": "Hi...", "history": []}}')
  return Object.entries(value).flatMap(([id, session]) => {
    if (id === ACTIVE) return []
    if (idOf(id) === undefined) throw new Error(`the session ${JSON.stringify(id.slice(0, 60))}: its id ${ID_RULE}`)
    if (!isObject(session)) throw new Error(`the session ${id} is no object with a name and a history`)
    const { name, history = [] } = session
    if (!Array.isArray(history)) throw new Error(`the session ${id}: its history is no list`)
    const messages = history.map((said, at): Message => {
      if (typeof said !== "string") throw new Error(`the session ${id}: its history has something that is no text`)
      return messageFrom(said, at)
    })
    return [{ id, name: typeof name === "string" ? name : "", messages }]
  })
}

/** Who says it, by its first word; else by where it stands, as they take turns. */
function messageFrom(said: string, at: number): Message {
  const speaker = SPEAKERS.find(({ prefix }) => said.startsWith(prefix))
  if (speaker !== undefined) return { role: speaker.role, content: said.slice(speaker.prefix.length) }
  return { role: at % 2 === 0 ? "user" : "assistant", content: said }
}
