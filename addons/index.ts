/**
 * The addons that llmproxy brings, in the order in which they make sense together: what changes or refuses requests,
 * then the conductor, which sends them on, then what only looks on. Names, not modules: an addon is loaded when
 * somebody asks for it with `-s NAME`. `command`: what its command of the same name does, for `llmproxy --help`.
 */
export const SHIPPED_ADDONS = [
  { name: "gateway", does: "one address for a team: keys, models and all that goes with them, in the right order" },
  {
    name: "keys",
    does: "asks everybody for a key, and keeps each to its limits",
    command: "make, list, revoke, renew and import the keys of clients",
  },
  {
    name: "sessions",
    does: "keeps conversations, for clients that name one and send what is new",
    command: "list, show, delete and import the conversations of clients",
  },
  { name: "profiles", does: "gives requests a model, parameters, a system prompt or a template by a name" },
  {
    name: "models",
    does: "one address for every model: finds each model's upstream, and puts in the server's key",
    command: "print LiteLLM's config.yaml as llmproxy's upstreams and routes, or fetch a model's file",
  },
  { name: "fit", does: "rejects, shortens or sends to a larger model what does not fit its model" },
  { name: "local-model", does: "answers with models of this machine, which it runs by node-llama-cpp" },
  { name: "conductor", does: "sends each chat request to a local model if it fits there, else to the cloud" },
  { name: "requery", does: "asks a local model again when its answer is empty, broken or goes round in circles" },
  { name: "usage", does: "asks hosts for the tokens of streams, and keeps that from the client (usage.inject)" },
  { name: "history", does: "keeps conversations in history.db, for llmproxy history to list, show and export" },
  {
    name: "metrics",
    does: "GET /metrics: requests, times, tokens and cost in Prometheus' format, for who runs the proxy",
  },
  { name: "otel", does: "sends a span for each answer of a model to an OpenTelemetry collector" },
  { name: "health", does: "GET /health/live and /health/ready, for who starts and stops programs" },
  { name: "pythagora-files", does: "writes the files that MIDDLE_MAN_JSON, OUTPUT_LOG and OPENAI_OUTPUT_LOG name" },
  { name: "hello", does: "says what each answer cost; the example to copy" },
] as const
