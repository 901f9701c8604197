/** What requests in no dialect (embeddings, images, audio) say of their model, so that a key's scope counts there, too. */
import { type Flow, isObject } from "llmproxy"

/** A model in a path, as Gemini's and OpenAI's own: /v1/models/NAME, /v1beta/models/NAME:embedContent. */
const IN_PATH = /^\/v1[a-z]*\/models\/([^:?]+)/

const FORM = /^(?:multipart\/form-data|application\/x-www-form-urlencoded)\b/i
/** What names no model, and may be of any size. */
const FILES = /^(?:(?:audio|image|video)\/|application\/octet-stream\b)/i

export function isJson({ request }: Flow): boolean {
  return /^application\/json\b/i.test(request.headers.get("content-type") ?? "")
}

/** Every model that it names; none where it names none. Rejects where its body cannot be read. */
export async function modelsIn(flow: Flow): Promise<string[]> {
  const { request } = flow
  const inPath = IN_PATH.exec(request.path)?.[1]
  if (inPath !== undefined) return [decoded(inPath)]
  const query = request.path.indexOf("?")
  const inQuery = query < 0 ? [] : new URLSearchParams(request.path.slice(query)).getAll("model")
  return [...inQuery, ...(await modelsInBody(flow))]
}

/** Whatever its label says: many servers read JSON that is called a text, or a form as curl's -d says. */
async function modelsInBody(flow: Flow): Promise<string[]> {
  const { request } = flow
  if (request.method === "GET" || request.method === "HEAD" || request.method === "DELETE") return []
  const type = request.headers.get("content-type") ?? ""
  if (FILES.test(type)) return []
  await request.collect()
  const json = jsonOf(flow)
  if (isObject(json)) return typeof json.model === "string" ? [json.model] : []
  if (!FORM.test(type)) return []
  return (await request.formData()).getAll("model").filter((one) => typeof one === "string")
}

function jsonOf({ request }: Flow): unknown {
  try {
    return request.json()
  } catch {
    return undefined // The upstream will say so.
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
