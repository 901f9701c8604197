/**
 * What can be wrong with the options: where, and what is right. Pure: the options' place in a file is told by llmproxy.
 */
import { isObject, type OptionProblem } from "llmproxy"
import { OFFERED } from "../shared/local-upstream.ts"
import { DIALECT_NAMES } from "./speech.ts"
import { USUAL } from "./upstreams.ts"

/** Also what `x-llmproxy-upstream` may say, and what stands before the slash in UPSTREAM/ID. */
export const UPSTREAM_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/
const UPSTREAM_FIELDS = ["url", "key", "dialect", "local", "concurrency", "models", "context"]
const ROUTE_FIELDS = ["model", "to", "by"]
const TARGET_FIELDS = ["upstream", "model", "weight"]
/** Characters of a model's name. */
const MODEL_CHARS_MAX = 256
/** Of a bad value that a message repeats. */
const SHOWN_CHARS_MAX = 60

type Path = readonly (string | number)[]

export function checkUpstreams(value: unknown): OptionProblem[] {
  if (!isObject(value))
    return [{ path: [], message: "must name upstreams, as in { box: { url: http://127.0.0.1:1234/v1 } }" }]
  return Object.entries(value).flatMap(([name, spec]) => checkUpstream(name, spec))
}

function checkUpstream(name: string, spec: unknown): OptionProblem[] {
  if (!UPSTREAM_NAME.test(name)) {
    const message = "must be called by letters, digits, dots, hyphens and underscores, at most 64, as in box-2"
    return [{ path: [name], message }]
  }
  if (typeof spec === "string") return urlProblem([name], spec)
  if (!isObject(spec)) return [{ path: [name], message: "must be an object, as in { url: http://127.0.0.1:1234/v1 }" }]
  const { url, key, dialect, local, concurrency, models, context } = spec
  const problems: OptionProblem[] = unknownFields([name], spec, UPSTREAM_FIELDS)
  const isUsual = USUAL.some((usual) => usual.name === name)
  if (url !== undefined || !isUsual) problems.push(...urlProblem([name, "url"], url))
  if (key !== undefined && (typeof key !== "string" || key.trim() === "" || hasControls(key)))
    problems.push({ path: [name, "key"], message: "must name a variable, as in key: env OPENAI_API_KEY" })
  problems.push(...dialectProblem([name, "dialect"], dialect))
  if (local !== undefined && typeof local !== "boolean")
    problems.push({ path: [name, "local"], message: "must be true or false" })
  for (const [field, number] of [
    ["concurrency", concurrency],
    ["context", context],
  ] as const)
    if (number !== undefined && !isCount(number))
      problems.push({ path: [name, field], message: "must be a whole number of at least 1" })
  if (models !== undefined && !isModelList(models))
    problems.push({ path: [name, "models"], message: "must be a list of model names, as in [qwen3-4b]" })
  return problems
}

function urlProblem(path: Path, url: unknown): OptionProblem[] {
  const wrong = (message: string) => [{ path, message }]
  if (typeof url !== "string") return wrong("must be a URL, as in http://127.0.0.1:1234/v1")
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    return wrong("must be an http or https URL, as in http://127.0.0.1:1234/v1")
  const { username, password, search, hash } = new URL(url)
  if (username !== "" || password !== "") return wrong("must hold no password; name the key, as in key: env NAME")
  if (search !== "" || hash !== "")
    return wrong("must end with its path, without a query, as in https://api.openai.com/v1")
  return []
}

function dialectProblem(path: Path, dialect: unknown): OptionProblem[] {
  if (dialect === undefined) return []
  const names: readonly unknown[] = Array.isArray(dialect) ? dialect : [dialect]
  const isRight =
    names.length > 0 && names.every((name) => typeof name === "string" && Object.hasOwn(DIALECT_NAMES, name))
  if (isRight) return []
  return [{ path, message: `must be one of ${Object.keys(DIALECT_NAMES).join(", ")}, or a list of them` }]
}

/** `before`: what there is of upstreams, so that a route names none that there is not. */
export function checkRoutes(value: unknown, before: Readonly<Record<string, unknown>> = {}): OptionProblem[] {
  if (!Array.isArray(value)) return [{ path: [], message: 'must be a list, as in [{ model: "gpt-*", to: [openai] }]' }]
  const problems = value.flatMap((route: unknown, at) => checkRoute(at, route))
  return problems.length === 0 ? unknownTargets(value, before.upstreams) : problems
}

function unknownTargets(routes: readonly unknown[], upstreams: unknown): OptionProblem[] {
  if (!isObject(upstreams)) return []
  const names = Object.keys(upstreams)
  const known = new Set([...names, ...USUAL.map(({ name }) => name), ...OFFERED])
  return routes.flatMap((route, at) => {
    const to: unknown = isObject(route) ? route.to : undefined
    const targets: readonly unknown[] = Array.isArray(to) ? to : [to]
    return targets.flatMap((target, index): OptionProblem[] => {
      const name: unknown = isObject(target) ? target.upstream : target
      if (typeof name !== "string" || known.has(name)) return []
      const path = [at, "to", ...(Array.isArray(to) ? [index] : []), ...(isObject(target) ? ["upstream"] : [])]
      const there =
        names.length === 0 ? "there is none" : `there ${names.length === 1 ? "is" : "are"} ${names.join(", ")}`
      return [{ path, message: `names "${name}", and no upstream is called so; ${there}` }]
    })
  })
}

function checkRoute(at: number, route: unknown): OptionProblem[] {
  if (!isObject(route)) return [{ path: [at], message: 'must be an object, as in { model: "gpt-*", to: [openai] }' }]
  const { model, to, by } = route
  const problems: OptionProblem[] = unknownFields([at], route, ROUTE_FIELDS)
  if (!(typeof model === "string" && isModel(model)) && !isModelList(model))
    problems.push({ path: [at, "model"], message: 'must be a model, a pattern or a list of them, as in "gpt-*"' })
  if (by !== undefined && by !== "order" && by !== "weight")
    problems.push({ path: [at, "by"], message: "must be order or weight" })
  const targets: readonly unknown[] = Array.isArray(to) ? to : to === undefined ? [] : [to]
  if (targets.length === 0)
    problems.push({
      path: [at, "to"],
      message: "must name upstreams, as in [box] or [{ upstream: box, model: qwen3-4b }]",
    })
  for (const [index, target] of targets.entries())
    problems.push(...checkTarget(Array.isArray(to) ? [at, "to", index] : [at, "to"], target))
  return problems
}

function checkTarget(path: Path, target: unknown): OptionProblem[] {
  if (typeof target === "string" && UPSTREAM_NAME.test(target)) return []
  if (!isObject(target))
    return [{ path, message: "must be the name of an upstream, or { upstream: NAME, model: MODEL }" }]
  const problems: OptionProblem[] = unknownFields(path, target, TARGET_FIELDS)
  const { upstream, model, weight } = target
  if (typeof upstream !== "string" || !UPSTREAM_NAME.test(upstream))
    problems.push({ path: [...path, "upstream"], message: "must be the name of an upstream" })
  if (model !== undefined && !(typeof model === "string" && isModel(model) && !model.includes("*")))
    problems.push({ path: [...path, "model"], message: "must be the model's name at that upstream, as in qwen3-4b" })
  if (weight !== undefined && !(typeof weight === "number" && Number.isFinite(weight) && weight >= 0))
    problems.push({ path: [...path, "weight"], message: "must be a number of at least 0" })
  return problems
}

function unknownFields(path: Path, value: object, known: readonly string[]): OptionProblem[] {
  const odd = Object.keys(value).find((field) => !known.includes(field))
  if (odd === undefined) return []
  return [{ path, message: `has no field "${odd.slice(0, SHOWN_CHARS_MAX)}"; there are ${known.join(", ")}` }]
}

/** Whether it can be a model's name, or a pattern of some. */
export function isModel(text: string): boolean {
  return text !== "" && text.length <= MODEL_CHARS_MAX && !hasControls(text)
}

function isModelList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "string" && isModel(one))
}

function isCount(value: unknown): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1
}

function hasControls(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what this looks for
  return /[\u0000-\u001f\u007f]/.test(text)
}
