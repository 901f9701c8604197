/**
 * The history's options: what is kept, for how long, and how much.
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
} as const satisfies OptionSpecs
