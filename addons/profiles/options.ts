/** The options of `profiles`. What a profile may be is profile.ts. */
import type { OptionSpecs } from "llmproxy"
import { checkList } from "./profile.ts"

export const OPTIONS = {
  list: {
    type: "json",
    default: {},
    check: checkList,
    help:
      "Profiles by name: { brief: { model, system, template, temperature, max_tokens, defaults: {}, overrides: {} } }. " +
      "A template has places for {chat_history} and {input}.",
  },
  file: { type: "string", help: "Local-LLM-API's data/config.json, read as it is, and again when it changes." },
  default: { type: "string", help: "The profile of requests for which nothing else names one." },
  sharedSwitch: {
    type: "boolean",
    default: false,
    help: "Let every key choose the profile of all by POST /models/model, not its own alone.",
  },
} as const satisfies OptionSpecs
