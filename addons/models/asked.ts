/**
 * What a request at our own address asks for, as far as its head tells: whose API, which model its path or query names, which
 * object of somebody's it is about, and whether it is about all of an account's. Pure.
 */
import type { Flow } from "llmproxy"
import { apiPath, type Speech, speechOf } from "./speech.ts"

export interface Asked {
  /** As an API knows it, with its query. */
  readonly path: string
  readonly speech: Speech
  /** The model that the path or the query names; see `modelOf`. */
  readonly model: string | undefined
  readonly modelIn: "path" | "query" | undefined
  /** The id of an object that an upstream keeps. */
  readonly object: string | undefined
  /** What needs the scope `admin` where keys are loaded, for people. */
  readonly adminFor: string | undefined
  /** Whether its body may name a model, or objects. */
  readonly hasBody: boolean
  /** Whether its answer tells ids of objects that were made for whoever asks. */
  readonly tells: boolean
}

/** Collections of objects that an upstream keeps: OpenAI's, and Anthropic's batches and files. */
const COLLECTION =
  /^\/v1\/(files|batches|responses|vector_stores|fine_tuning\/jobs|fine-tunes|uploads|conversations|assistants|threads(?:\/runs)?|videos|containers|evals|chat\/completions|messages\/batches)(?:\/([^/?]{1,256}))?(\/[^?]{0,1024})?\/?(?:\?|$)/
/** What stands where an id would, and is none. */
const VERBS: ReadonlySet<string> = new Set(["input_tokens", "compact", "runs"])
/** Of the account, whoever asks: its users, keys, costs. */
const ACCOUNT = /^\/v1\/(?:organization|organizations|projects|usage|fine_tuning\/checkpoints)(?:[/?]|$)/
/** `DELETE /v1/models/ID`, whose id may have slashes. */
const MODEL_PATH = /^\/v1\/models\/([^?]{1,1024}?)\/?(?:\?|$)/
const GEMINI_MODEL = /^\/v1(?:beta\d{0,2})?\/(?:tuned)?[mM]odels\/([^/?:]{1,256})/
const AZURE_MODEL = /^\/openai\/deployments\/([^/?]{1,256})\//
/** Bodies without a model, and with files of any size. */
const UPLOADS = /^\/(?:v1\/(?:files|uploads)|api\/blobs)(?:[/?]|$)/
/** The id that an API gives to what it makes. */
const OBJECT_ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,255}$/

export function askedIn({ request }: Pick<Flow, "request">): Asked {
  const { method, headers } = request
  const path = apiPath(request.path)
  const speech = speechOf(path, headers)
  const [, collection, given, below] = COLLECTION.exec(path) ?? []
  const isObject = given !== undefined && !VERBS.has(given)
  const id = isObject ? decoded(given) : undefined
  return {
    path,
    speech,
    ...modelIn(path, method, speech),
    object: id,
    adminFor: adminFor(method, path, { collection, id }),
    hasBody: hasBody(method, path),
    tells: collection !== undefined && (below === undefined || below === "/complete") && tells(method, collection, id),
  }
}

function modelIn(path: string, method: string, speech: Speech): Pick<Asked, "model" | "modelIn"> {
  const named =
    speech === "gemini" ? GEMINI_MODEL : speech === "openai" && method === "DELETE" ? MODEL_PATH : AZURE_MODEL
  const inPath = named.exec(path)?.[1]
  if (inPath !== undefined) return { model: decoded(inPath), modelIn: "path" }
  const query = path.indexOf("?")
  const all = query === -1 ? [] : [...new Set(new URLSearchParams(path.slice(query)).getAll("model"))]
  if (all.length === 0) return { model: undefined, modelIn: undefined }
  // Of several nobody knows which one counts there: together they are no model that there is.
  return { model: all.join(", "), modelIn: "query" }
}

function adminFor(
  method: string,
  path: string,
  { collection, id }: { collection: string | undefined; id: string | undefined },
): string | undefined {
  if (ACCOUNT.test(path)) return "what belongs to the whole account"
  if (method === "DELETE") return "deletions on the server's key"
  const isList = (method === "GET" || method === "HEAD") && collection !== undefined && id === undefined
  return isList ? `the list of all ${collection} of the account` : undefined
}

/** One that was made, or that names others: a batch the files of its results. Not the answers of models that nobody keeps. */
function tells(method: string, collection: string, id: string | undefined): boolean {
  return collection !== "chat/completions" && (method === "POST" || (method === "GET" && id !== undefined))
}

function hasBody(method: string, path: string): boolean {
  return (method === "POST" || method === "PUT" || method === "PATCH") && !UPLOADS.test(path)
}

/** Undefined: it is no id as APIs give them. */
export function objectId(value: unknown): string | undefined {
  return typeof value === "string" && OBJECT_ID.test(value) ? value : undefined
}

/** `path` with `to` in the place of the model that it names. */
export function withModelInPath(path: string, from: string, to: string): string {
  const [head = "", ...query] = path.split("?")
  const spellings = [from, encodeURIComponent(from)]
  const spelling = spellings.find((one) => head.includes(`/${one}`))
  const renamed = spelling === undefined ? head : head.replace(`/${spelling}`, () => `/${encodeURIComponent(to)}`)
  if (query.length === 0) return renamed
  const parameters = new URLSearchParams(query.join("?"))
  if (spelling === undefined && parameters.get("model") === from) parameters.set("model", to)
  else return `${renamed}?${query.join("?")}`
  return `${renamed}?${parameters}`
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
