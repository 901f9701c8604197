/**
 * The re-query's options: which guards look at answers and how strictly, how often and how long is asked again.
 */
import type { OptionSpecs, OptionValues } from "llmproxy"

export const MODES = ["observe", "guard", "hold"] as const
export type Mode = (typeof MODES)[number]

const REPEATS = ["gpt-pilot", "always"] as const
export type Repeats = (typeof REPEATS)[number]

export const OPTIONS = {
  mode: {
    type: "string",
    choices: MODES,
    help:
      "One mode for all guards. observe: only say what is wrong; guard: let a stream pass, stop it where it " +
      "loops, ask again where the client waits for JSON; hold: keep streams back, too. Default: each guard's own.",
  },
  guards: {
    type: "list",
    default: [
      "empty-plan=hold",
      "empty-tasks=hold",
      "repeated-question=hold",
      "empty=guard",
      "json=hold",
      "schema=hold",
      "runaway=guard",
    ],
    help: "The guards, each with its mode and its own most attempts if it has some: NAME=MODE:ATTEMPTS, as in json=hold:2.",
  },
  repeats: {
    type: "string",
    choices: REPEATS,
    default: "gpt-pilot",
    help:
      "Whose questions repeated-question looks at: those to GPT Pilot, known by the form of its requests, or always: " +
      "those of every conversation, also where somebody has asked to hear one again.",
  },
  attempts: {
    type: "integer",
    min: 0,
    max: 10,
    default: 3,
    help: "How many times an answer is asked for again, at most.",
  },
  deadlineMs: {
    type: "integer",
    min: 1,
    default: 120_000,
    help: "Milliseconds that asking again may take, all attempts together.",
  },
  escalate: {
    type: "boolean",
    default: true,
    help: "Ask the cloud in the last attempt, if the request has a key for it.",
  },
  cloudModel: { type: "string", help: "Model that the last attempt asks the cloud for; default: the client's." },
  cloudKey: {
    type: "string",
    secret: true,
    env: "OPENAI_API_KEY",
    help: "Key for the last attempt of base-URL requests that bring none of OpenAI's.",
  },
} as const satisfies OptionSpecs

export type RequeryOptions = OptionValues<typeof OPTIONS>
