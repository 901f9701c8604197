/**
 * How many tokens a prompt is by the host's own count, where it has one: llama.cpp, vLLM, llama-cpp-python. The host is
 * asked with the very request that it would get. A count that cannot be had is undefined, and the estimate stands.
 * Source: llama.cpp, tools/server/README.md; vLLM, /tokenize; llama-cpp-python, llama_cpp/server/app.py.
 */
import type { Flow, JsonObject } from "llmproxy"
import type { HostKind } from "./host-kind.ts"
import { objectIn } from "./json.ts"
import { type HostFacts, keyFields } from "./local-host.ts"
import type { LocalRequest } from "./local-request.ts"

const UNKNOWN_PAGE: ReadonlySet<number> = new Set([404, 405, 501])

/** llama-cpp-python ends a running answer when another request waits, a count too. */
export function countsWhileBusy(kind: HostKind): boolean {
  return kind !== "llama-cpp-python"
}

interface Question {
  readonly path: string
  readonly json: JsonObject
  /** Reads the count from the answer. */
  read(answer: JsonObject): unknown
}

/** `never`: this version of its program has no such page. `timeoutMs`: 0 leaves the host alone. */
export async function hostCount(
  flow: Flow,
  { base, kind }: HostFacts,
  { json }: LocalRequest,
  { key, timeoutMs }: { key: string | undefined; timeoutMs: number },
): Promise<number | "never" | undefined> {
  const question = questionFor(kind, json)
  if (question === undefined || timeoutMs === 0) return undefined
  const answer = await flow.send(
    { headers: { Accept: "application/json", ...keyFields(key) }, json: question.json },
    { url: base + question.path, until: "end", timeoutMs },
  )
  if (answer.failure !== undefined) return UNKNOWN_PAGE.has(answer.status) ? "never" : undefined
  const count = question.read(objectIn(await answer.text()) ?? {})
  return typeof count === "number" && count > 0 ? count : undefined
}

function questionFor(kind: HostKind, { model, prompt, messages, tools }: JsonObject): Question | undefined {
  const named: JsonObject = model === undefined ? {} : { model }
  const conversation: JsonObject = { ...named, messages: messages ?? [], ...(tools === undefined ? {} : { tools }) }
  const count = (answer: JsonObject) => answer.count
  switch (kind) {
    case "llama.cpp":
      if (prompt === undefined)
        return {
          path: "/v1/chat/completions/input_tokens",
          json: conversation,
          read: (answer) => answer.input_tokens,
        }
      return {
        path: "/tokenize",
        json: { content: prompt, add_special: true, parse_special: true },
        read: ({ tokens }) => (Array.isArray(tokens) ? tokens.length : undefined),
      }
    case "vLLM":
      if (prompt !== undefined) return { path: "/tokenize", json: { ...named, prompt }, read: count }
      return { path: "/tokenize", json: { ...conversation, add_generation_prompt: true }, read: count }
    case "llama-cpp-python":
      if (prompt === undefined) return undefined
      return { path: "/extras/tokenize/count", json: { ...named, input: prompt }, read: count }
    default:
      return undefined
  }
}
