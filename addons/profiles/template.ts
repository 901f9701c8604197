/**
 * A profile's template: one text with places for the conversation and for what is asked now. Pure. The places are found in the
 * template alone, in one pass, so that braces in what is put there stay what they are.
 */
import { type Message, textOf } from "llmproxy"

/** Where what is asked now goes. */
export const INPUT_PLACE = "{input}"
export const HISTORY_PLACE = "{chat_history}"

const PLACES = /\{(chat_history|input)\}/g
/** In Python's format strings two braces are one. */
const PYTHON_PLACES = /\{\{|\}\}|\{(chat_history|input)\}/g

export interface Conversation {
  readonly history: string
  readonly input: string
}

/** `isPython`: the template is one of Python's format strings, in which `{{` is a brace. */
export function render(template: string, { history, input }: Conversation, isPython = false): string {
  return template.replace(isPython ? PYTHON_PLACES : PLACES, (found: string, place: string | undefined) => {
    if (place === undefined) return found.slice(1)
    return place === "input" ? input : history
  })
}

/** Whether what is asked has a place in it. */
export function hasInput(template: string, isPython = false): boolean {
  for (const [, place] of template.matchAll(isPython ? PYTHON_PLACES : PLACES)) if (place === "input") return true
  return false
}

/** Who says it, as LangChain writes conversations. */
const SPEAKERS: Readonly<Record<string, string>> = { user: "Human", assistant: "AI" }

export interface Rendered extends Conversation {
  /** What the system says, wherever it stands; "": nothing. */
  readonly system: string
}

/**
 * The conversation as texts; undefined where it is none that a text can hold: its last message is not the user's, or it has images,
 * calls of tools and the like.
 */
export function conversationIn(messages: readonly Message[]): Rendered | undefined {
  const system: string[] = []
  const said: string[] = []
  let input: string | undefined
  for (const message of messages) {
    const text = plainText(message)
    if (text === undefined) return undefined
    if (message.role === "system" || message.role === "developer") {
      system.push(text)
      continue
    }
    const speaker = SPEAKERS[message.role]
    if (speaker === undefined) return undefined
    said.push(`${speaker}: ${text}`)
    input = message.role === "user" ? text : undefined
  }
  if (input === undefined) return undefined
  return { system: system.join("\n\n"), history: said.slice(0, -1).join("\n"), input }
}

function plainText(message: Message): string | undefined {
  const { content, tool_calls: calls } = message
  if (Array.isArray(calls) && calls.length > 0) return undefined
  if (Array.isArray(content) && content.some((part) => typeof part.text !== "string")) return undefined
  return textOf(content ?? undefined)
}
