/** The addon's options. Names in capitals are LLM-Backend's variables, which people have in their .env files. */
import type { OptionProblem, OptionSpecs } from "llmproxy"

const CONTEXT_MIN = 128
const CONTEXT_MAX = 16_777_216

export const OPTIONS = {
  file: { type: "string", env: "LLAMA_MODEL_FILE", help: 'A model (.gguf) that answers to "llama" and to its name.' },
  folder: { type: "string", default: "models", help: "Folder whose .gguf files are models, each by its name." },
  contextSize: {
    type: "integer",
    min: CONTEXT_MIN,
    max: CONTEXT_MAX,
    default: 4_096,
    env: "LLAMA_CONTEXT_SIZE",
    help: "Tokens of a model's context, prompt and answer together; at most what it was trained for.",
  },
  contextSizes: {
    type: "json",
    default: {},
    check: checkSizes,
    help: 'Contexts of single models, by their file names: {"qwen3-4b.gguf": 8192}.',
  },
  maxLoaded: { type: "integer", min: 1, max: 64, default: 1, help: "Models that are in memory at a time." },
  idleMinutes: {
    type: "number",
    min: 0,
    max: 10_080,
    default: 10,
    help: "Minutes without a request after which a model leaves the memory.",
  },
  threads: {
    type: "integer",
    min: 0,
    max: 1_024,
    default: 0,
    help: "Threads of the processor for each model; 0: as the library thinks fit.",
  },
  library: {
    type: "string",
    help: "Folder into which node-llama-cpp was installed; default: beside llmproxy, else ~/.llmproxy/node-llama-cpp.",
  },
} as const satisfies OptionSpecs

function checkSizes(value: unknown): readonly OptionProblem[] {
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : []
  return entries.flatMap(([name, size]) =>
    typeof size === "number" && Number.isInteger(size) && size >= CONTEXT_MIN && size <= CONTEXT_MAX
      ? []
      : [{ path: [name], message: `must be a whole number from ${CONTEXT_MIN} to ${CONTEXT_MAX}` }],
  )
}
