/**
 * The tools of a request as views on the dialect's own JSON: what is set on one changes its place there. Functions have a
 * form in every dialect; what a provider runs itself (a web search) stays as it is, and is its dialect's alone.
 */
import { FlowError } from "../base/errors.ts"
import { isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../base/json.ts"
import type { DialectName, FunctionTool, GivenTool, ProviderTool, Tool } from "./model.ts"
import { deepCopy } from "./spans.ts"

/** How a dialect writes a function. */
export interface ToolForm {
  /** The member that holds name, description and schema; undefined: they stand in the tool itself. */
  readonly holder?: "function"
  readonly schema: "parameters" | "input_schema"
  /** The types of functions; undefined is none at all. */
  readonly types: readonly (string | undefined)[]
  /** What a new one begins with. */
  readonly begins: JsonObject
  /** The schema of a function without parameters, where one is demanded. */
  readonly bare?: JsonObject
}

const NO_PARAMETERS: JsonObject = { type: "object", properties: {} }

/** OpenAI's chat form, which most servers took over. Source: OpenAI's openapi.yaml, ChatCompletionTool. */
export const CHAT_TOOLS: ToolForm = {
  holder: "function",
  schema: "parameters",
  types: ["function", undefined],
  begins: { type: "function" },
}
/** Functions are strict there unless they say otherwise. Source: openai-node, FunctionTool. */
export const RESPONSES_TOOLS: ToolForm = {
  schema: "parameters",
  types: ["function"],
  begins: { type: "function", strict: false },
  bare: NO_PARAMETERS,
}
/** Source: openai-node, RealtimeFunctionTool. */
export const REALTIME_TOOLS: ToolForm = { schema: "parameters", types: ["function"], begins: { type: "function" } }
/** Source: Anthropic's API reference, "Create a message". */
export const MESSAGES_TOOLS: ToolForm = {
  schema: "input_schema",
  types: ["custom", undefined],
  begins: {},
  bare: NO_PARAMETERS,
}

/** The list as views; it is not the body's own, so that nothing can be put into it unseen. */
export function toolsOf(list: JsonValue | undefined, form: ToolForm): readonly Tool[] | undefined {
  if (!Array.isArray(list)) return undefined
  return Object.freeze(list.filter(isObject).map((raw) => viewOf(raw, form)))
}

/** What a list of tools is in a dialect. Throws a TypeError for what is no tool, a FlowError for what has no form there. */
export function toolList(given: readonly GivenTool[], form: ToolForm, dialect: DialectName): JsonObject[] {
  if (!Array.isArray(given)) throw new TypeError("request.tools: it is a list of tools, or undefined")
  return given.map((tool, at) => rawOf(tool, form, dialect, `request.tools[${at}]`))
}

const KNOWN: ReadonlySet<string> = new Set(["kind", "name", "description", "parameters", "raw"])

function rawOf(tool: GivenTool, form: ToolForm, dialect: DialectName, place: string): JsonObject {
  if (tool instanceof FunctionView && tool.form === form) return tool.raw
  if (tool instanceof ProviderView && tool.form === form) return tool.raw
  if (tool instanceof ProviderView) {
    const message = `${place}: ${tool.name} is run by its own provider, and has no form in ${dialect}`
    throw new FlowError("addon", "no-place", message)
  }
  if (!isObject(tool)) throw new TypeError(`${place}: it is no tool; write { name, description, parameters }`)
  const unknown = tool instanceof FunctionView ? undefined : Object.keys(tool).find((key) => !KNOWN.has(key))
  if (unknown !== undefined)
    throw new TypeError(
      `${place}: "${unknown}" is no member of a tool; write { name, description, parameters }, or { raw } for JSON of the provider's`,
    )
  const { name, description, parameters } = tool
  const raw = "raw" in tool && !(tool instanceof FunctionView) ? tool.raw : undefined
  if (raw !== undefined && !isObject(raw)) throw new TypeError(`${place}: raw is no object`)
  if (raw !== undefined && name === undefined && description === undefined && parameters === undefined) return raw
  const made = raw === undefined ? begun(form) : deepCopy(raw)
  const view = viewOf(made, form)
  if (view.kind === "provider" && raw !== undefined)
    throw new TypeError(`${place}: ${view.name} is no function; change its raw`)
  const fn = new FunctionView(made, form, place)
  if (name !== undefined || raw === undefined) fn.name = name ?? ""
  if (description !== undefined) fn.description = description
  if (parameters !== undefined || raw === undefined) fn.parameters = parameters && deepCopy(parameters) // Two requests share nothing.
  return made
}

function begun({ holder, begins }: ToolForm): JsonObject {
  return holder === undefined ? { ...begins } : { ...begins, [holder]: {} }
}

function viewOf(raw: JsonObject, form: ToolForm): Tool {
  const isFunction =
    form.types.includes(stringOf(raw.type)) && (form.holder === undefined || isObject(raw[form.holder]))
  return isFunction ? new FunctionView(raw, form) : new ProviderView(raw, form)
}

class FunctionView implements FunctionTool {
  readonly kind = "function"
  readonly raw: JsonObject
  readonly form: ToolForm
  readonly #place: string

  constructor(raw: JsonObject, form: ToolForm, place = "request.tools") {
    this.raw = raw
    this.form = form
    this.#place = place
  }

  get #spec(): JsonObject {
    const { holder } = this.form
    return (holder === undefined ? undefined : objectOf(this.raw[holder])) ?? this.raw
  }

  get name(): string {
    return stringOf(this.#spec.name) ?? ""
  }

  set name(value: string) {
    if (typeof value !== "string" || value === "") throw new TypeError(`${this.#place}: a function has a name`)
    this.#spec.name = value
  }

  get description(): string | undefined {
    return stringOf(this.#spec.description)
  }

  set description(value: string | undefined) {
    if (value !== undefined && typeof value !== "string")
      throw new TypeError(`${this.#place}: the description of ${this.name} is no string`)
    this.#set("description", value)
  }

  get parameters(): JsonObject | undefined {
    return objectOf(this.#spec[this.form.schema])
  }

  set parameters(value: JsonObject | undefined) {
    if (value !== undefined && !isObject(value))
      throw new TypeError(`${this.#place}: the parameters of ${this.name} are a JSON Schema, an object`)
    const { bare } = this.form
    this.#set(this.form.schema, value ?? (bare === undefined ? undefined : deepCopy(bare)))
  }

  #set(key: string, value: JsonValue | undefined): void {
    if (value === undefined) delete this.#spec[key]
    else this.#spec[key] = value
  }
}

class ProviderView implements ProviderTool {
  readonly kind = "provider"
  readonly raw: JsonObject
  readonly form: ToolForm

  constructor(raw: JsonObject, form: ToolForm) {
    this.raw = raw
    this.form = form
  }

  get name(): string {
    const inner = objectOf(this.raw.custom) ?? this.raw
    return stringOf(inner.name) ?? stringOf(this.raw.type) ?? ""
  }

  get description(): string | undefined {
    return stringOf((objectOf(this.raw.custom) ?? this.raw).description)
  }

  get parameters(): undefined {
    return undefined
  }
}
