/**
 * The model that a body names, and the objects that it refers to: JSON of any API, or a form, as speech and images are sent. In
 * JSON `llmproxy/targets` puts another model in its place, in a form this file.
 */
import { type Flow, isObject, type JsonObject, type JsonValue } from "llmproxy"
import { objectId } from "./asked.ts"

export interface BodyNames {
  readonly model: string | undefined
  /** Ids of objects of the upstream's: files, earlier responses. */
  readonly objects: readonly string[]
  readonly kind: "json" | "form" | "other"
}

const NOTHING: BodyNames = { model: undefined, objects: [], kind: "other" }
/** Members whose values are ids, or lists of them. */
const ID_MEMBERS: ReadonlySet<string> = new Set([
  "previous_response_id",
  "conversation",
  "file_id",
  "file_ids",
  "input_file_id",
  "training_file",
  "validation_file",
  "vector_store_id",
  "vector_store_ids",
  "assistant_id",
  "thread_id",
])
/** Values that are looked at for ids: a conversation has some thousands. */
const VALUES_MAX = 200_000
/** Ids of one request; more than any has. */
const IDS_MAX = 1_000
const FORM = /^(?:multipart\/form-data|application\/x-www-form-urlencoded)\b/i

/**
 * What the collected body names, `body` where it is JSON (see `jsonOf`); nothing where it was not collected or cannot be read. A
 * promise for a form alone. `wantsIds`: whether ids are looked for within it.
 */
export function namesIn(flow: Flow, body: JsonValue | undefined, wantsIds: boolean): BodyNames | Promise<BodyNames> {
  const { request } = flow
  // Whatever its label says: curl's -d calls everything a form.
  if (!isObject(body)) return FORM.test(request.headers.get("content-type") ?? "") ? namesInForm(flow) : NOTHING
  // Ollama's own calls name it so.
  const model = body.model ?? (request.path.includes("/api/") ? body.name : undefined)
  return {
    kind: "json",
    model: typeof model === "string" ? model : undefined,
    objects: wantsIds ? idsIn(body) : idsAtTop(body),
  }
}

async function namesInForm(flow: Flow): Promise<BodyNames> {
  const form = await flow.waitFor(flow.request.formData()).catch(() => undefined)
  const [model, ...others] = form?.getAll("model") ?? []
  // What decides here is what counts there.
  if (others.length > 0 && typeof model === "string") await setModelInForm(flow, model)
  return { ...NOTHING, kind: "form", model: typeof model === "string" ? model : undefined }
}

/** Undefined: it was not collected, or is no JSON. */
export function jsonOf(request: Flow["request"]): JsonValue | undefined {
  try {
    return request.json()
  } catch {
    return undefined
  }
}

/** In the body's own members. */
function idsAtTop(body: JsonObject): string[] {
  return Object.entries(body).flatMap(([name, value]) => (ID_MEMBERS.has(name) ? idsOf(value) : []))
}

/** Wherever they stand. Without recursion: a body may be nested as deep as it likes. */
function idsIn(body: JsonObject): string[] {
  const ids: string[] = []
  const waiting: JsonValue[] = [body]
  for (let count = 0; waiting.length > 0 && count < VALUES_MAX && ids.length < IDS_MAX; count++) {
    const value = waiting.pop()
    if (typeof value !== "object" || value === null) continue
    if (Array.isArray(value)) for (const item of value) waiting.push(item)
    else
      for (const [name, inner] of Object.entries(value)) {
        if (ID_MEMBERS.has(name)) ids.push(...idsOf(inner))
        if (typeof inner === "object" && inner !== null) waiting.push(inner)
      }
  }
  return ids
}

function idsOf(value: JsonValue | undefined): string[] {
  if (Array.isArray(value)) return value.flatMap((one) => objectId(one) ?? [])
  return objectId(isObject(value) ? value.id : value) === undefined ? [] : [String(isObject(value) ? value.id : value)]
}

/** Puts another model into the collected form: it is written anew, its files byte for byte. */
export async function setModelInForm(flow: Flow, model: string): Promise<void> {
  const form = await flow.waitFor(flow.request.formData())
  form.set("model", model)
  await flow.waitFor(flow.request.setFormData(form))
}
