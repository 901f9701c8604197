/**
 * What decides on a request's way before its size does: the client's own wish in a header, and the lists of models; and
 * which local model stands for the one that the client names. Pure, save that the header is taken off the request.
 */
import { type Flow, isObject } from "llmproxy"
import { isLike } from "../shared/globs.ts"
import { Note, ROUTE_FIELD } from "../shared/local-answers.ts"
import type { ConductorOptions } from "./options.ts"

/** What ROUTE_FIELD said, for who reads the record. */
const WISH = new Note<string>("conductor.wish", (value): value is string => typeof value === "string")
/** Of a wish that nobody can grant, so much is told. */
const WISH_CHARS_MAX = 40

export interface Wish {
  readonly route: "local" | "cloud"
  /** For people. */
  readonly why: string
  /** Whether nothing else will do: what is to stay local never leaves, whatever comes of it. */
  readonly binding: boolean
}

/** Takes the client's wish off the request, whatever the request is. */
export function takeWish(flow: Flow): void {
  const { headers } = flow.request
  if (!headers.has(ROUTE_FIELD)) return
  const wish = headers.getAll(ROUTE_FIELD).join(", ")
  headers.delete(ROUTE_FIELD)
  WISH.write(flow, wish.trim().toLowerCase().slice(0, WISH_CHARS_MAX))
}

/** The paths of the dialects that name a model for a chat or a text: OpenAI's, Anthropic's, Ollama's, llama.cpp's. */
const CHAT_PATH = /\/(chat\/completions|completions?|responses|messages|api\/chat|api\/generate)\/?($|\?)/

/** Also one that offers another protocol beside its body. */
export function isChat({ request: { method, path } }: Flow): boolean {
  return CHAT_PATH.test(path) && method === "POST"
}

/**
 * The models that a request may be for; none: no model can be read. What its body names counts, which has to be collected.
 * A query counts where no body names one, as on a WebSocket, and never for a chat: nobody would ask there for what stands
 * in a body that could not be read.
 */
export function modelsIn(flow: Flow): readonly string[] {
  const { request } = flow
  const named = modelInBody(request)
  if (named !== undefined) return [named]
  return isChat(flow) ? [] : new URL(request.url).searchParams.getAll("model")
}

export function hasBody({ request: { method } }: Flow): boolean {
  return method === "POST" || method === "PUT" || method === "PATCH"
}

/** Whether a body that is said to be JSON could not be read, so that nobody knows what it names. */
export function isUnreadJson({ request }: Flow): boolean {
  return /json/i.test(request.headers.get("content-type") ?? "") && bodyOf(request) === undefined
}

function modelInBody(request: Flow["request"]): string | undefined {
  const body = bodyOf(request)
  if (body === undefined) return modelInForm(request)
  return isObject(body) && typeof body.model === "string" ? body.model : undefined
}

/** Undefined: not collected, not decoded, or no JSON. */
function bodyOf(request: Flow["request"]): unknown {
  try {
    return request.json()
  } catch {
    return undefined
  }
}

/** The field of a form, as speech and images are sent (RFC 7578). */
const FORM_MODEL = /\bname="?model"?[^\r\n]{0,200}\r\n(?:[^\r\n]{1,200}\r\n){0,4}\r\n([^\r\n]{1,200})\r\n/i

function modelInForm(request: Flow["request"]): string | undefined {
  if (!/^multipart\/form-data/i.test(request.headers.get("content-type") ?? "")) return undefined
  try {
    return FORM_MODEL.exec(request.text)?.[1]
  } catch {
    return undefined // not collected, or not decoded
  }
}

type Lists = Pick<ConductorOptions, "localModels" | "cloudModels" | "preferLocal">

/**
 * The wish for this request, if there is one; a text is a wish that nobody can grant. A promise to stay comes before a
 * wish to leave, what the client says before what the options say of all.
 */
export function wishFor(flow: Flow, model: string, lists: Lists): Wish | string | undefined {
  const said = WISH.of(flow)
  if (said === "local") return { route: said, why: `${ROUTE_FIELD}: ${said}`, binding: true }
  if (said !== undefined && said !== "cloud") return said
  const bound = whyBound(model, lists)
  if (bound !== undefined) return { route: "local", why: bound, binding: true }
  if (said === "cloud") return { route: said, why: `${ROUTE_FIELD}: ${said}`, binding: true }
  const cloud = patternFor(model, lists.cloudModels)
  if (cloud !== undefined) return { route: "cloud", why: `cloudModels has ${cloud}`, binding: false }
  const local = patternFor(model, lists.preferLocal)
  return local === undefined ? undefined : { route: "local", why: `preferLocal has ${local}`, binding: false }
}

/** Why a request for this model never leaves, for people; undefined: it may. */
export function whyBound(model: string, { localModels }: Pick<Lists, "localModels">): string | undefined {
  const pattern = patternFor(model, localModels)
  return pattern === undefined ? undefined : `localModels has ${pattern}`
}

function patternFor(model: string, patterns: readonly string[]): string | undefined {
  return patterns.find((pattern) => isLike(model, pattern))
}

/** The first pattern that fits decides; undefined: none does. */
export function mappedModel(map: Readonly<Record<string, unknown>>, model: string): string | undefined {
  const found = Object.entries(map).find(([pattern]) => isLike(model, pattern))?.[1]
  return typeof found === "string" ? found : undefined
}

/** Throws an Error for a map that is none. */
export function checkModelMap(map: Readonly<Record<string, unknown>>): void {
  const odd = Object.entries(map).find(([, model]) => typeof model !== "string" || model === "")
  if (odd === undefined) return
  throw new Error(`conductor.modelMap: ${odd[0]} must name a local model, as in {"gpt-4*": "deepseek-coder-6.7b"}`)
}
