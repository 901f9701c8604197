/**
 * What the requests of all dialects have in common, as a view on their body: reading never throws, setting changes that
 * one value. A dialect says where its parameters stand and what they are called, and overrides what stands in another form.
 */
import { FlowError } from "../base/errors.ts"
import { type JsonObject, type JsonValue, numberOf, stringOf } from "../base/json.ts"
import { messagesOf } from "./message-list.ts"
import type { DialectName, GivenTool, LlmRequest, Message, Tool } from "./model.ts"
import { promptMessages, promptOf, refuseSystem } from "./prompt-message.ts"
import { type ToolForm, toolList, toolsOf } from "./tools.ts"

/** What the dialects call the same parameter, and what they have none of: then the advice says where to turn. */
export interface ParameterNames {
  readonly maxTokens: string
  readonly stop: string | Advice
  readonly tools: ToolForm | Advice
  /** Where the system prompt stands as a text; a dialect with another place for it overrides `system`. */
  readonly system?: string
  /** A raw prompt stands in the place of a list of messages; without a field for one, a system prompt is refused. */
  readonly hasPrompt?: boolean
}

interface Advice {
  readonly advice: string
}

export abstract class RequestView implements LlmRequest {
  abstract readonly dialect: DialectName
  readonly body: JsonObject
  readonly #names: ParameterNames

  constructor(body: JsonObject, names: ParameterNames) {
    this.body = body
    this.#names = names
  }

  /** The object that holds the parameters; undefined while there is none. */
  protected get parameters(): JsonObject | undefined {
    return this.body
  }

  get messages(): Message[] {
    return this.#names.hasPrompt === true ? promptMessages(this.body) : messagesOf(this.body)
  }

  set messages(value: Message[]) {
    if (this.#names.hasPrompt === true) this.body.prompt = promptOf(value)
    else this.body.messages = value
  }

  get system(): string | undefined {
    return this.#names.system === undefined ? undefined : stringOf(this.body[this.#names.system])
  }

  set system(value: string | undefined) {
    if (this.#names.system !== undefined) this.assign(this.#names.system, value)
    else if (this.#names.hasPrompt === true) refuseSystem(this.dialect, value)
  }

  get model(): string {
    return stringOf(this.body.model) ?? ""
  }

  set model(value: string) {
    this.body.model = value
  }

  /** The object that holds the tools; undefined while there is none. */
  protected get toolHolder(): JsonObject | undefined {
    return this.body
  }

  get tools(): readonly Tool[] | undefined {
    const { tools } = this.#names
    return "advice" in tools ? undefined : toolsOf(this.toolHolder?.tools, tools)
  }

  set tools(value: readonly GivenTool[] | undefined) {
    const { tools } = this.#names
    if (!("advice" in tools)) this.assignTools(value && toolList(value, tools, this.dialect))
    else if (value !== undefined) this.refuse("tools", tools.advice)
  }

  protected assignTools(value: JsonObject[] | undefined): void {
    this.assign("tools", value)
  }

  get stream(): boolean {
    return this.body.stream === true
  }

  set stream(value: boolean) {
    this.body.stream = value
  }

  /** Local servers write "no limit" as a negative number. */
  get maxTokens(): number | undefined {
    const value = numberOf(this.parameters?.[this.#names.maxTokens])
    return value === undefined || value < 0 ? undefined : value
  }

  set maxTokens(value: number | undefined) {
    this.assignParameter(this.#names.maxTokens, value)
  }

  get temperature(): number | undefined {
    return numberOf(this.parameters?.temperature)
  }

  set temperature(value: number | undefined) {
    this.assignParameter("temperature", value)
  }

  get topP(): number | undefined {
    return numberOf(this.parameters?.top_p)
  }

  set topP(value: number | undefined) {
    this.assignParameter("top_p", value)
  }

  get stop(): string[] | undefined {
    const name = this.#names.stop
    const stop = typeof name === "string" ? this.parameters?.[name] : undefined
    if (typeof stop === "string") return [stop]
    return Array.isArray(stop) ? stop.filter((value) => typeof value === "string") : undefined
  }

  set stop(value: string[] | undefined) {
    const name = this.#names.stop
    if (typeof name === "string") this.assignParameter(name, value)
    else if (value !== undefined) this.refuse("stop strings", name.advice)
  }

  /** Most dialects give one answer to a request. */
  get n(): number {
    return 1
  }

  set n(value: number) {
    if (value !== 1) this.refuse(`n to ${value}`, "send the request again for another answer")
  }

  /** Sets a field of the body; undefined removes it. */
  protected assign(key: string, value: JsonValue | undefined): void {
    set(this.body, key, value)
  }

  /** The same for a parameter. */
  protected assignParameter(key: string, value: JsonValue | undefined): void {
    if (this.parameters) set(this.parameters, key, value)
  }

  /** Throws: the dialect has no place for a value, and to lose it silently would be worse. */
  protected refuse(what: string, advice: string): never {
    throw new FlowError("addon", "no-place", `set ${what}: ${this.dialect} has no place for it; ${advice}`)
  }
}

/** The path without its query and one trailing slash. */
export function pathOnly(path: string): string {
  const query = path.indexOf("?")
  const end = query === -1 ? path.length : query
  return path.slice(0, path[end - 1] === "/" ? end - 1 : end)
}

function set(object: JsonObject, key: string, value: JsonValue | undefined): void {
  if (value === undefined) delete object[key]
  else object[key] = value
}
