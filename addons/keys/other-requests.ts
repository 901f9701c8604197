/** What requests in no dialect (embeddings, images, audio) say of their model, so that a key's scope counts there, too. */
import { type Flow, isObject } from "llmproxy"

/** A model in a path, as Gemini's and OpenAI's own: /v1/models/NAME, /v1beta/models/NAME:embedContent. */
const IN_PATH = /^\/v1[a-z]*\/models\/([^:?]+)/

export function isJson({ request }: Flow): boolean {
  return /^application\/json\b/i.test(request.headers.get("content-type") ?? "")
}

/** Undefined: it names none. Rejects where its body cannot be read. */
export async function modelIn(flow: Flow): Promise<string | undefined> {
  const { request } = flow
  const inPath = IN_PATH.exec(request.path)?.[1]
  if (inPath !== undefined) return decoded(inPath)
  if (request.method === "GET" || request.method === "HEAD" || request.method === "DELETE") return undefined
  if (isJson(flow)) {
    await request.collect()
    const json = jsonOf(flow)
    return isObject(json) && typeof json.model === "string" ? json.model : undefined
  }
  if (!/^multipart\/form-data\b/i.test(request.headers.get("content-type") ?? "")) return undefined
  await request.collect()
  const model = (await request.formData()).get("model")
  return typeof model === "string" ? model : undefined
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
