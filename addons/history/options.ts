/**
 * The history's options. Names in capitals are the environment variables of Pythagora-LLM-Proxy, which people have in
 * their .env files.
 */
import type { OptionSpecs } from "llmproxy"

export const OPTIONS = {
  all: { type: "boolean", default: false, help: "Keep every flow, not only those that speak with a model." },
  maxAgeDays: { type: "number", default: 90, min: 0, help: "Days that a flow is kept; 0: no limit." },
  maxSizeMb: {
    type: "number",
    default: 2_000,
    min: 0,
    help: "Megabytes that the history may take; the oldest flows go first; 0: no limit.",
  },
  json: {
    type: "string",
    env: "MIDDLE_MAN_JSON",
    help: "File that gets each answered request as {instruction, output, tokens, client}, as in history.json.",
  },
  outputLog: { type: "string", env: "OUTPUT_LOG", help: "File that gets the local host's answers, as in output.log." },
  openaiOutputLog: {
    type: "string",
    env: "OPENAI_OUTPUT_LOG",
    help: "File that gets the cloud's answers, as in openai_output.log.",
  },
} as const satisfies OptionSpecs
