/** A profile: what it may say, in our form and in Local-LLM-API's, and what is wrong with one. Pure. */
import { isObject, type JsonObject, type JsonValue, type OptionProblem } from "llmproxy"
import { HISTORY_PLACE, hasInput, INPUT_PLACE } from "./template.ts"

export interface Profile {
  readonly name: string
  readonly model: string | undefined
  /** Tokens that the model takes, prompt and answer together. */
  readonly context: number | undefined
  readonly system: string | undefined
  readonly template: { readonly text: string; readonly isPython: boolean } | undefined
  /** Whether its text goes as a raw prompt; undefined: where the host is known to take one. */
  readonly isRaw: boolean | undefined
  /** Fields of the request that count where the client says nothing, by OpenAI's names. */
  readonly defaults: JsonObject
  /** Those that count whatever the client says. */
  readonly overrides: JsonObject
}

type Path = readonly (string | number)[]

/** Fields of a profile that are defaults of the request: whether a value is right, and what would be. */
const SAMPLING: Readonly<Record<string, { is(value: unknown): boolean; right: string }>> = {
  temperature: { is: (value) => isNumber(value) && value >= 0, right: "a number from 0 on, as in 0.7" },
  max_tokens: { is: (value) => isWhole(value, -1) && value !== 0, right: "a number of tokens, as in 512" },
  top_p: { is: (value) => isNumber(value) && value >= 0 && value <= 1, right: "a number from 0 to 1, as in 0.9" },
  min_p: { is: (value) => isNumber(value) && value >= 0 && value <= 1, right: "a number from 0 to 1, as in 0.05" },
  top_k: { is: (value) => isWhole(value, -1), right: "a whole number, as in 40" },
  repeat_penalty: { is: (value) => isNumber(value) && value >= 0, right: "a number, as in 1.1" },
  presence_penalty: { is: isNumber, right: "a number, as in 0.5" },
  frequency_penalty: { is: isNumber, right: "a number, as in 0.5" },
  seed: { is: (value) => Number.isSafeInteger(value), right: "a whole number" },
  stop: {
    is: (value) => typeof value === "string" || isTexts(value),
    right: 'a text or a list of texts, as in ["Human:"]',
  },
}
const FIELDS = [
  ...["model", "system", "template", "raw", "n_ctx", "verbose", "defaults", "overrides"],
  ...Object.keys(SAMPLING),
]
/** What is the request's own, and no parameter of it. */
const NO_PARAMETERS = ["model", "messages", "prompt", "input", "system", "stream", "tools"]
/** Characters of a profile's name. */
const NAME_CHARS_MAX = 200
/** Of a bad name that a message repeats. */
const SHOWN_CHARS_MAX = 60

/** What is wrong with the profiles of the options. */
export function checkList(value: unknown): OptionProblem[] {
  if (!isObject(value)) return [{ path: [], message: "must name profiles, as in { brief: { system: Be brief. } }" }]
  return Object.entries(value).flatMap(([name, spec]) => [...checkName(name), ...checkProfile([name], spec, false)])
}

export function checkName(name: string): OptionProblem[] {
  const isRight = name.trim() === name && name !== "" && name.length <= NAME_CHARS_MAX && !hasControls(name)
  const message = `must be called by 1 to ${NAME_CHARS_MAX} characters, without spaces around them`
  return isRight ? [] : [{ path: [name.slice(0, SHOWN_CHARS_MAX)], message }]
}

/** `isOld`: it is one of Local-LLM-API's, of which only fields that are known count. */
export function checkProfile(path: Path, spec: unknown, isOld: boolean): OptionProblem[] {
  if (!isObject(spec)) return [{ path, message: "must be an object, as in { model: qwen3-4b, temperature: 0.2 }" }]
  const problems: OptionProblem[] = []
  const odd = isOld ? undefined : Object.keys(spec).find((field) => !FIELDS.includes(field))
  if (odd !== undefined) {
    const message = `has no field "${odd.slice(0, SHOWN_CHARS_MAX)}"; there are ${FIELDS.join(", ")}`
    problems.push({ path, message })
  }
  const { model, system, template, raw, n_ctx: context, defaults, overrides } = spec
  const wrong = (field: string, message: string) => problems.push({ path: [...path, field], message })
  if (model !== undefined && (typeof model !== "string" || model === "" || hasControls(model)))
    wrong("model", "must be a model's name, as in qwen3-4b")
  if (system !== undefined && typeof system !== "string") wrong("system", "must be a text")
  if (raw !== undefined && typeof raw !== "boolean") wrong("raw", "must be true or false")
  if (context !== undefined && !isWhole(context, 1)) wrong("n_ctx", "must be a number of tokens, as in 4096")
  if (template !== undefined && (typeof template !== "string" || !hasInput(template, isOld)))
    wrong("template", `must be a text with ${INPUT_PLACE} in it, and ${HISTORY_PLACE} for the turns before`)
  for (const [field, { is, right }] of Object.entries(SAMPLING))
    if (spec[field] !== undefined && spec[field] !== null && !is(spec[field])) wrong(field, `must be ${right}`)
  for (const [field, given] of [
    ["defaults", defaults],
    ["overrides", overrides],
  ] as const)
    if (given !== undefined && !isOld) problems.push(...checkParameters([...path, field], given))
  return problems
}

function checkParameters(path: Path, given: unknown): OptionProblem[] {
  if (!isObject(given)) return [{ path, message: "must be fields of requests, as in { temperature: 0 }" }]
  return Object.entries(given).flatMap(([field, value]) => {
    if (NO_PARAMETERS.includes(field)) return [{ path: [...path, field], message: "is no parameter of a request" }]
    const rule = SAMPLING[field]
    return rule === undefined || rule.is(value) ? [] : [{ path: [...path, field], message: `must be ${rule.right}` }]
  })
}

/** `spec`: as `checkProfile` has let it pass. */
export function profileFrom(name: string, spec: JsonObject, isOld: boolean): Profile {
  const { model, system, template, raw, n_ctx: context, defaults, overrides } = spec
  const flat: JsonObject = {}
  for (const field of Object.keys(SAMPLING)) {
    const value: JsonValue | undefined = spec[field]
    // -1 is how llama.cpp's clients write "no limit".
    if (value !== undefined && value !== null && !(field === "max_tokens" && value === -1)) flat[field] = value
  }
  return {
    name,
    model: typeof model === "string" ? model : undefined,
    context: typeof context === "number" ? context : undefined,
    system: typeof system === "string" && system !== "" ? system : undefined,
    template: typeof template === "string" ? { text: template, isPython: isOld } : undefined,
    isRaw: typeof raw === "boolean" ? raw : undefined,
    defaults: { ...flat, ...(isObject(defaults) && !isOld ? defaults : {}) },
    overrides: isObject(overrides) && !isOld ? { ...overrides } : {},
  }
}

/** The longest answer that it asks for; undefined: it says none. */
export function maxTokensOf({ defaults, overrides }: Profile): number | undefined {
  const value = overrides.max_tokens ?? defaults.max_tokens
  return typeof value === "number" ? value : undefined
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value)
}

function isWhole(value: unknown, min: number): boolean {
  return isNumber(value) && Number.isSafeInteger(value) && value >= min
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "string")
}

function hasControls(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what this looks for
  return /[\u0000-\u001f\u007f]/.test(text)
}
