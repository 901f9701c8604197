/**
 * The files' names. Those in capitals are the environment variables of Pythagora-LLM-Proxy, which people have in their
 * .env files.
 */
import type { OptionSpecs } from "llmproxy"

export const OPTIONS = {
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
