/** The options of `fit`, and what they mean for a model. */
import { isObject, type OptionSpecs, type OptionValues } from "llmproxy"
import { isLike } from "../shared/globs.ts"

/** Tokens that are kept free for an answer, where the request asks for no fewer. */
const RESERVE = 1_024
/** At most this part of the context is: a small one would have no room for a prompt. */
const RESERVE_PART = 0.25

export const OPTIONS = {
  action: {
    type: "string",
    choices: ["reject", "cloud", "trim"],
    default: "reject",
    help: "What becomes of a request that does not fit: an error with the numbers, another model, or fewer messages.",
  },
  context: {
    type: "integer",
    default: 0,
    min: 0,
    help: "Tokens that a model takes, prompt and answer together, where nothing else says it; 0: what is not known fits.",
  },
  contexts: {
    type: "json",
    default: {},
    help: 'The same by model, as in {"llama*": 8192, "gpt-4o": 128000}; the first that fits counts, before all else.',
    check: checkContexts,
  },
  reserve: {
    type: "integer",
    default: RESERVE,
    min: 0,
    help: "Tokens that are kept free for the answer, and no more than a quarter of what the model takes.",
  },
  ratio: {
    type: "number",
    default: 1,
    min: 0.1,
    max: 10,
    help: "Tokens of the models' own for one of OpenAI's, with which prompts are counted.",
  },
  cloud: {
    type: "string",
    help: "Where to with action cloud: an upstream of the addon models, or a base URL, as in https://api.openai.com/v1.",
  },
  cloudModel: { type: "string", help: "The model to ask for there. Default: the one that was asked for." },
  cloudKey: { type: "string", secret: true, help: "The key for it, where it is a base URL." },
} as const satisfies OptionSpecs

export type FitOptions = OptionValues<typeof OPTIONS>

function checkContexts(value: unknown) {
  return Object.entries(isObject(value) ? value : {}).flatMap(([model, context]) =>
    typeof context === "number" && Number.isInteger(context) && context > 0
      ? []
      : [{ path: [model], message: "must be a number of tokens, as in 8192" }],
  )
}

/** What the options say that a model takes; undefined: nothing. */
export function contextByName({ contexts }: Pick<FitOptions, "contexts">, model: string): number | undefined {
  const found = Object.entries(contexts).find(([pattern]) => isLike(model, pattern))?.[1]
  return typeof found === "number" ? found : undefined
}

/** Tokens to keep free for an answer, of `context`. `asked`: the most that the client wants, where it says so. */
export function reserveFor(
  { reserve }: Pick<FitOptions, "reserve">,
  context: number,
  asked: number | undefined,
): number {
  return Math.min(asked ?? reserve, reserve, Math.floor(context * RESERVE_PART))
}
