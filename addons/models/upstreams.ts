/**
 * The upstreams: what the options name, what a key alone enables, and what other addons offer, in this order. Reading them is
 * pure; where a variable comes from is the caller's.
 */
import { isLoopbackHost, isObject, isPlaceholderKey } from "llmproxy"
import { DIALECT_NAMES, type Speech, usualSpeech } from "./speech.ts"

export interface Upstream {
  readonly name: string
  readonly url: string
  readonly key: string | undefined
  readonly speaks: readonly Speech[]
  /** What is asked there stays with its user. */
  readonly isLocal: boolean
  readonly concurrency: number | undefined
  /** Its models where it does not list them itself; undefined: it is asked. */
  readonly models: readonly string[] | undefined
  /** Tokens that its models take together, where it was said. */
  readonly context: number | undefined
}

/** What is to be told at the start. */
export interface Remark {
  readonly kind: "info" | "warn"
  readonly text: string
}

/** `key: env NAME`. */
const KEY_REFERENCE = /^env ([A-Za-z_][A-Za-z0-9_]{0,127})$/

/** What a key alone enables: the name, the URL and the variable. */
export const USUAL = [
  { name: "openai", url: "https://api.openai.com/v1", variable: "OPENAI_API_KEY" },
  { name: "claude", url: "https://api.anthropic.com", variable: "ANTHROPIC_API_KEY" },
] as const

type Variable = (name: string) => string | undefined

/** `given`: as `checkUpstreams` has let it pass. */
export function readUpstreams(
  given: Readonly<Record<string, unknown>>,
  variable: Variable,
): { upstreams: Upstream[]; remarks: Remark[] } {
  const remarks: Remark[] = []
  const upstreams = Object.entries(given).map(([name, spec]) => {
    const fields = typeof spec === "string" ? { url: spec } : isObject(spec) ? spec : {}
    const url = textIn(fields.url) ?? USUAL.find((usual) => usual.name === name)?.url ?? ""
    return upstreamFrom(name, { ...fields, url }, { variable, remarks })
  })
  for (const { name, url, variable: word } of USUAL) {
    const key = usable(variable(word))
    if (key === undefined || upstreams.some((one) => one.name === name || hostOf(one.url) === hostOf(url))) continue
    upstreams.push(upstreamFrom(name, { url, key: `env ${word}` }, { variable, remarks }))
  }
  return { upstreams, remarks }
}

function upstreamFrom(
  name: string,
  fields: Readonly<Record<string, unknown>> & { readonly url: string },
  around: { readonly variable: Variable; readonly remarks: Remark[] },
): Upstream {
  const { url, local, concurrency, models, dialect, context } = fields
  return {
    name,
    url,
    key: keyFrom(name, fields, around),
    speaks: speaksFrom(dialect, url),
    isLocal: typeof local === "boolean" ? local : isLoopbackHost(hostOf(url)),
    concurrency: typeof concurrency === "number" ? concurrency : undefined,
    models: Array.isArray(models) ? models.map(String) : undefined,
    context: typeof context === "number" ? context : undefined,
  }
}

function keyFrom(
  name: string,
  { key, url }: Readonly<Record<string, unknown>> & { readonly url: string },
  { variable, remarks }: { readonly variable: Variable; readonly remarks: Remark[] },
): string | undefined {
  const said = textIn(key)
  if (said === undefined) {
    const usual = USUAL.find((one) => hostOf(one.url) === hostOf(url))
    return usual === undefined ? undefined : usable(variable(usual.variable))
  }
  const word = KEY_REFERENCE.exec(said)?.[1]
  if (word === undefined) {
    const text = `upstream "${name}": its key stands in the options in clear; put it into a variable, and write key: env NAME`
    remarks.push({ kind: "warn", text })
    return said
  }
  const value = usable(variable(word))
  if (value === undefined)
    remarks.push({ kind: "warn", text: `upstream "${name}": ${word} is not set, so that it is asked without a key` })
  return value
}

/** Nothing, or a word that opens nothing. */
function usable(key: string | undefined): string | undefined {
  const trimmed = key?.trim() ?? ""
  return trimmed === "" || isPlaceholderKey(trimmed) ? undefined : trimmed
}

function speaksFrom(dialect: unknown, url: string): readonly Speech[] {
  const names = Array.isArray(dialect) ? dialect.map(String) : typeof dialect === "string" ? [dialect] : []
  const all = names.flatMap((name) => DIALECT_NAMES[name] ?? [])
  return all.length === 0 ? usualSpeech(url) : [...new Set(all)]
}

/** One line for the start's log. */
export function shownUpstream({ name, url, key, isLocal }: Upstream): string {
  const words = [key === undefined ? undefined : "with a key", isLocal ? "local" : undefined].filter(Boolean)
  return `${name} (${[url, ...words].join(", ")})`
}

function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, "")
}

function textIn(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined
}
