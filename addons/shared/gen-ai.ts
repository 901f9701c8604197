/**
 * What OpenTelemetry calls things that have to do with models: its GenAI semantic conventions, v0.1.0, all of which are still in
 * development (https://github.com/open-telemetry/semantic-conventions-genai/tree/v0.1.0/docs/gen-ai). One place, so that metrics and
 * spans of a flow say the same.
 */
import type { DialectName, Flow, LlmFlow } from "llmproxy"

/** Upper bounds in seconds of the conventions' durations: 0.01 doubled 13 times. */
export const DURATION_BUCKETS: readonly number[] = Array.from({ length: 14 }, (_, i) => 0.01 * 2 ** i)

/** Values of gen_ai.provider.name, by the end of the host that is asked. */
const PROVIDERS: readonly (readonly [host: string, provider: string])[] = [
  ["api.openai.com", "openai"],
  ["api.anthropic.com", "anthropic"],
  ["generativelanguage.googleapis.com", "gcp.gemini"],
  ["aiplatform.googleapis.com", "gcp.vertex_ai"],
  ["openai.azure.com", "azure.ai.openai"],
  ["inference.ai.azure.com", "azure.ai.inference"],
  ["amazonaws.com", "aws.bedrock"],
  ["api.deepseek.com", "deepseek"],
  ["api.groq.com", "groq"],
  ["api.mistral.ai", "mistral_ai"],
  ["api.moonshot.cn", "moonshot_ai"],
  ["api.moonshot.ai", "moonshot_ai"],
  ["api.x.ai", "x_ai"],
  ["api.perplexity.ai", "perplexity"],
  ["api.cohere.com", "cohere"],
]

/** Where no host says it: whose API is spoken. */
const BY_DIALECT: Readonly<Record<DialectName, string>> = {
  "openai-chat": "openai",
  "openai-responses": "openai",
  "openai-completions": "openai",
  "openai-realtime": "openai",
  "anthropic-messages": "anthropic",
  ollama: "ollama",
  llamacpp: "llamacpp",
}

/** gen_ai.provider.name: of the host that was asked, else of the API that was spoken. */
export function providerOf({ server, llm }: Pick<Flow, "server" | "llm">): string {
  const host = server?.host ?? ""
  const found = PROVIDERS.find(([end]) => host === end || host.endsWith(`.${end}`))?.[1]
  return found ?? (llm === undefined ? "unknown" : BY_DIALECT[llm.dialect])
}

/** gen_ai.operation.name */
export function operationOf({ llm }: Pick<LlmFlow, "llm">): "chat" | "text_completion" {
  return llm.dialect === "openai-completions" || llm.dialect === "llamacpp" ? "text_completion" : "chat"
}

/** error.type; undefined: the model has answered. A short word, never a message. */
export function errorTypeOf({ error, response, llm }: Pick<Flow, "error" | "response" | "llm">): string | undefined {
  if (error !== undefined) return error.code
  if (llm?.error !== undefined) return llm.error.kind === "other" ? String(llm.error.status) : llm.error.kind
  return response !== undefined && response.status >= 400 ? String(response.status) : undefined
}
