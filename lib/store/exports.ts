/**
 * What was said, in the forms that fine-tuning programs and people read. One exchange at a time goes in, a text comes
 * out: an export holds one conversation in memory. Pure.
 */

import { isObject, type JsonObject, type JsonValue, stringOf } from "../base/json.ts"
import { textOf } from "../llm/message-text.ts"
import type { FinishUnified } from "../llm/model.ts"
import { chatForm, NoChatForm } from "./chat-form.ts"
import type { Exchange } from "./reader.ts"

export const EXPORT_FORMATS = ["openai-jsonl", "sharegpt", "alpaca", "seed", "markdown"] as const

export type ExportFormat = (typeof EXPORT_FORMATS)[number]

export interface Exporter {
  /** Before the first exchange. */
  readonly head: string
  /** The text of the exchange that is the `index`-th. Throws NoChatForm for one that the format cannot hold. */
  one(exchange: Answered, index: number): string
  /** Behind the last of `count` exchanges. */
  foot(count: number): string
}

/** An exchange to learn from. */
export interface Answered extends Exchange {
  readonly answer: JsonObject
}

/** Ends of an answer that is what its model wanted to say. A word that nobody knows is none. */
const GOOD_ENDINGS: ReadonlySet<string | null> = new Set<FinishUnified>(["stop", "toolCalls"])

/**
 * Whether an exchange is whole: a client's own, kept with its contents, that ended well. `withTruncated`: an answer that
 * reached its limit of tokens is taken as well.
 */
export function isAnswered(exchange: Exchange, withTruncated = false): exchange is Answered {
  const { flow, messages, answer } = exchange
  if (flow.parent_id !== null || flow.incomplete !== 0 || flow.error_code !== null) return false
  const endedWell = GOOD_ENDINGS.has(flow.finish_reason) || (withTruncated && flow.finish_reason === "length")
  if (flow.llm_error_kind !== null || !endedWell) return false
  if (answer === undefined || messages.length === 0) return false
  return textOf(answer.content) !== "" || Array.isArray(answer.tool_calls)
}

export function exporterFor(format: ExportFormat): Exporter {
  switch (format) {
    case "openai-jsonl":
      return lines(openai)
    case "sharegpt":
      return lines(sharegpt)
    case "alpaca":
      return lines(alpaca)
    case "seed":
      return { head: "[", one: seed, foot: (count) => (count === 0 ? "]\n" : "\n]\n") }
    case "markdown":
      return { head: "", one: markdown, foot: () => "" }
  }
}

function lines(write: (exchange: Answered) => JsonValue): Exporter {
  return { head: "", one: (exchange) => `${JSON.stringify(write(exchange))}\n`, foot: () => "" }
}

/** https://platform.openai.com/docs/guides/supervised-fine-tuning: a line is `{messages, tools?}`. */
function openai(exchange: Answered): JsonObject {
  const { messages, tools } = chatForm(exchange)
  return { messages: [...messages], ...(tools === undefined ? {} : { tools: [...tools] }) }
}

const SHAREGPT_NAMES: Readonly<Record<string, string>> = { user: "human", assistant: "gpt", developer: "system" }

function sharegpt(exchange: Answered): JsonObject {
  const turn = (message: JsonObject) => {
    const role = stringOf(message.role) ?? "user"
    return { from: SHAREGPT_NAMES[role] ?? role, value: textWithCalls(message) }
  }
  return { conversations: chatForm(exchange).messages.map(turn) }
}

/** Stanford Alpaca's names; what was said before the last question stands in LLaMA-Factory's `system` and `history`. */
function alpaca(exchange: Answered): JsonObject {
  const messages = chatForm(exchange).messages.slice(0, -1)
  // A tool's result is what the answer answers, where one came last.
  const last = messages.findLastIndex(({ role }) => role === "user" || role === "tool")
  const system = messages
    .filter(isSystem)
    .map(({ content }) => textOf(content))
    .join("\n\n")
  const history: string[][] = []
  let asked: string[] = []
  for (const message of messages.slice(0, Math.max(0, last)).filter((one) => !isSystem(one))) {
    if (message.role !== "assistant") {
      asked.push(textOf(message.content))
      continue
    }
    history.push([asked.join("\n\n"), textWithCalls(message)])
    asked = []
  }
  const instruction = [...asked, textOf(messages[last]?.content)].join("\n\n")
  return {
    instruction,
    input: "",
    output: textWithCalls(exchange.answer),
    ...(system === "" ? {} : { system }),
    ...(history.length === 0 ? {} : { history }),
  }
}

/** Pythagora-LLM-Proxy's history.json, as Python's json.dumps(records, indent=4, ensure_ascii=False) writes it. */
function seed({ flow, messages, answer }: Answered, index: number): string {
  const record = {
    instruction: messages
      .map(({ content }) => textOf(content))
      .filter((text) => text !== "")
      .join(" "),
    output: textOf(answer.content),
    tokens: flow.route_tokens ?? flow.input_tokens ?? 0,
    client: flow.route === "local" ? "Local LLM" : "OpenAI",
  }
  return `${index === 0 ? "" : ","}${JSON.stringify([record], null, 4).slice(1, -2)}`
}

function markdown(exchange: Answered, index: number): string {
  const { flow } = exchange
  const { started_at: start, answered_model: answered, model, route, input_tokens: input, output_tokens: output } = flow
  const facts = [
    answered ?? model ?? "",
    route === null ? "" : `route ${route}`,
    input === null ? "" : `${input} tokens in`,
    output === null ? "" : `${output} out`,
  ].filter((fact) => fact !== "")
  const turn = (message: JsonObject) => {
    const reasoning = stringOf(message.reasoning_content)
    const thought = reasoning ? `> ${reasoning.trim().replaceAll("\n", "\n> ")}\n\n` : ""
    return `### ${stringOf(message.role) ?? "user"}\n\n${thought}${textWithCalls(message)}\n\n`
  }
  const title = `## ${new Date(start).toISOString().slice(0, 19).replace("T", " ")} UTC\n\n${facts.join(", ")}\n\n`
  return `${index === 0 ? "" : "---\n\n"}${title}${readable(exchange).map(turn).join("")}`
}

/** What people read: in chat's form where there is one, else as it was kept. */
function readable(exchange: Answered): readonly JsonObject[] {
  const { messages, answer } = exchange
  try {
    return [...chatForm(exchange).messages.slice(0, -1), answer]
  } catch (thrown) {
    if (!(thrown instanceof NoChatForm)) throw thrown
    return [...messages.map(inFull), answer]
  }
}

/** A message of parts that have no text, as their JSON. */
function inFull(message: JsonObject): JsonObject {
  return textWithCalls(message) === "" ? { ...message, content: JSON.stringify(message.content ?? message) } : message
}

function isSystem({ role }: JsonObject): boolean {
  return role === "system" || role === "developer"
}

/** The text of a message with the calls of tools, which formats without a place for them have as text. */
export function textWithCalls(message: JsonObject): string {
  const calls = Array.isArray(message.tool_calls) ? message.tool_calls : []
  const written = calls.map((call) => (isObject(call) ? JSON.stringify(call.function ?? call) : ""))
  return [textOf(message.content), ...written].filter((text) => text !== "").join("\n")
}
