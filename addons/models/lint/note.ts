/** Notes on a flow what of its request is not as OpenAI has published it. */
import { type Flow, isObject } from "llmproxy"
import { lint } from "./lint.ts"
import { OPENAI_DATE, OPENAI_SCHEMA } from "./openai-schema.ts"

/** In `flow.metadata`: the date of the schema, and what was found; absent where the call is none that it has. */
const NOTE = "models.lint"

/** The body has been collected, or is looked at by nobody. */
export function noteFindings(flow: Flow, path: string): void {
  const { request, metadata } = flow
  if (request.method !== "POST") return
  try {
    const body = request.json()
    const findings = isObject(body) ? lint(OPENAI_SCHEMA, path, body) : undefined
    if (findings !== undefined) metadata[NOTE] = { schema: OPENAI_DATE, findings }
  } catch {
    // No JSON that could be looked at: whoever it is for will say so.
  }
}
