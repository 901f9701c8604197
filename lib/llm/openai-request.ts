/**
 * What a request of both OpenAI dialects has in common, as a view on its body: reading never throws, setting changes
 * that one value. `messages` and `system` are each dialect's own.
 */
import { type JsonObject, type JsonValue, numberOf, stringOf } from "./json.ts"
import type { DialectName, LlmRequest, Message } from "./model.ts"

export abstract class OpenAiRequest implements LlmRequest {
  abstract readonly dialect: DialectName
  readonly body: JsonObject
  readonly #pathModel: string | undefined

  abstract messages: Message[]
  abstract system: string | undefined

  constructor(body: JsonObject, path: string) {
    this.body = body
    this.#pathModel = deploymentOf(path)
  }

  /** The body's, else Azure's deployment in the path. Setting it writes the body; the path stays. */
  get model(): string {
    return stringOf(this.body.model) ?? this.#pathModel ?? ""
  }

  set model(value: string) {
    this.body.model = value
  }

  get tools(): JsonValue[] | undefined {
    return Array.isArray(this.body.tools) ? this.body.tools : undefined
  }

  set tools(value: JsonValue[] | undefined) {
    this.assign("tools", value)
  }

  get stream(): boolean {
    return this.body.stream === true
  }

  set stream(value: boolean) {
    this.body.stream = value
  }

  get maxTokens(): number | undefined {
    return numberOf(this.body.max_tokens)
  }

  set maxTokens(value: number | undefined) {
    this.assign("max_tokens", value)
  }

  get temperature(): number | undefined {
    return numberOf(this.body.temperature)
  }

  set temperature(value: number | undefined) {
    this.assign("temperature", value)
  }

  get topP(): number | undefined {
    return numberOf(this.body.top_p)
  }

  set topP(value: number | undefined) {
    this.assign("top_p", value)
  }

  get stop(): string[] | undefined {
    const { stop } = this.body
    if (typeof stop === "string") return [stop]
    return Array.isArray(stop) ? stop.filter((value) => typeof value === "string") : undefined
  }

  set stop(value: string[] | undefined) {
    this.assign("stop", value)
  }

  get n(): number {
    return numberOf(this.body.n) ?? 1
  }

  set n(value: number) {
    this.body.n = value
  }

  /** Sets a field of the body; undefined removes it. */
  protected assign(key: string, value: JsonValue | undefined): void {
    if (value === undefined) delete this.body[key]
    else this.body[key] = value
  }
}

/** The path without its query and one trailing slash. */
export function pathOnly(path: string): string {
  const query = path.indexOf("?")
  const end = query === -1 ? path.length : query
  return path.slice(0, path[end - 1] === "/" ? end - 1 : end)
}

/** `gpt-4o` of `/openai/deployments/gpt-4o/chat/completions?api-version=…`. */
function deploymentOf(path: string): string | undefined {
  const name = /\/openai\/deployments\/([^/?]+)\//.exec(path)?.[1]
  if (name === undefined) return undefined
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
