/** The lists of models, for `GET /docs`: they are answered in hooks, as what is asked beside them passes on to an upstream. Pure. */
import type { EndpointDocument, JsonObject } from "llmproxy"

const ID = {
  in: "path",
  name: "id",
  required: true,
  schema: { type: "string" },
  description: "A model's id, slashes and all.",
}
const NAMED: JsonObject = {
  required: true,
  content: {
    "application/json": {
      schema: { type: "object", required: ["model"], properties: { model: { type: "string" } } },
    },
  },
}

/** One that is answered with JSON, of which no more is said than what it is. */
function endpoint(summary: string, answer: string, more: JsonObject = {}): JsonObject {
  const responses: JsonObject = {
    200: { description: answer, content: { "application/json": { schema: { type: "object" } } } },
  }
  if ("parameters" in more || "requestBody" in more) responses[404] = { description: "No such model." }
  return { tags: ["models"], summary, responses, ...more }
}

export function listEndpoints(): EndpointDocument {
  const all = "All that the caller may use, of all upstreams, with aliases and profiles."
  return {
    paths: {
      "/v1/models": { get: endpoint("The models, as OpenAI or Anthropic lists them", all) },
      "/v1/models/{id}": { get: endpoint("One of them", "It.", { parameters: [ID] }) },
      "/v1beta/models": { get: endpoint("The models, as Gemini lists them", all) },
      "/v1beta/models/{id}": { get: endpoint("One of them, as Gemini has it", "It.", { parameters: [ID] }) },
      "/api/tags": { get: endpoint("The models, as Ollama lists them", all) },
      "/api/ps": { get: endpoint("Those on this machine, as Ollama lists what runs", "They.") },
      "/api/show": { post: endpoint("One of them, as Ollama shows it", "It.", { requestBody: NAMED }) },
      "/api/version": { get: endpoint("The version of the Ollama API", "It.") },
    },
  }
}
