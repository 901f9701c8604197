/**
 * How many tokens the model takes that a flow is for: left on the flow by an addon that knows it, for those that ask. Addons that send
 * by "llmproxy/targets" need not: the targets tell it.
 */
import { Note } from "./local-answers.ts"

/** Prompt and answer together, in tokens of the model. */
export const MODEL_CONTEXT = new Note<number>(
  "models.context",
  (value): value is number => typeof value === "number" && value > 0,
)
