/**
 * Sends a rendered profile as a raw prompt (`/v1/completions`), and gives the answer to the client in the form of its chat. A host
 * that has no such endpoint gets it as a message.
 */
import type { Answer, JsonObject, LlmFlow } from "llmproxy"

const PATH = "/v1/completions"
/** What a host answers that does not take raw prompts. */
const NOT_THERE: ReadonlySet<number> = new Set([404, 405, 501])
/** Of a chat, what a raw prompt has not, or in another form. */
const CHAT_ONLY = [
  ...["messages", "max_completion_tokens", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"],
  ...["logprobs", "top_logprobs", "modalities", "audio", "prediction", "reasoning_effort", "verbosity", "store"],
]
/** The client's wishes for where it goes. */
const FIELDS = ["accept", "x-llmproxy-upstream", "x-llmproxy-route"]

/** Whether it was answered so; false: the model's host takes no raw prompts. */
export async function sendRaw(flow: LlmFlow, prompt: string): Promise<boolean> {
  const { request } = flow.llm
  const json: JsonObject = { ...request.body, prompt }
  for (const name of CHAT_ONLY) delete json[name]
  if (request.maxTokens !== undefined) json.max_tokens = request.maxTokens
  const headers: Record<string, string> = {}
  for (const name of FIELDS) {
    const value = flow.request.headers.get(name)
    if (value !== undefined) headers[name] = value
  }
  const answer = await flow.send({ headers, json }, { url: PATH, until: "delta" })
  if (isNotThere(answer)) {
    answer.abort()
    return false
  }
  flow.respond(answer)
  return true
}

function isNotThere({ failure }: Answer): boolean {
  if (failure === undefined || failure.error?.kind === "model_not_found") return false
  return NOT_THERE.has(failure.status) || failure.error?.code === "unsupported"
}
