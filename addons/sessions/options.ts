/** The options of `sessions`. */
import type { OptionSpecs } from "llmproxy"

export const OPTIONS = {
  model: {
    type: "string",
    help: "The model that answers at /answer, where no profile names one. Default: the first of the list.",
  },
  tokens: {
    type: "integer",
    default: 0,
    min: 0,
    help: "Tokens of a conversation that are sent at most; 0: what the model takes, as far as that is known.",
  },
} as const satisfies OptionSpecs
