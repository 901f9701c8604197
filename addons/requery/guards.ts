/**
 * The guards: what each looks for, when it is armed, and what the next attempt is told and changes. A guard judges a
 * whole answer; what can be told sooner is told in watch.ts.
 */
import { type Completion, isObject } from "llmproxy"
import { type Demand, EMPTY_IS_FINE } from "./demand.ts"
import { isWholeJson, type JsonReading, readJson } from "./json-answer.ts"
import type { Schemas } from "./json-schema.ts"
import type { Mode, RequeryOptions } from "./options.ts"
import { MODES } from "./options.ts"
import { loops } from "./repetition.ts"
import { areAlike, isQuestion } from "./similarity.ts"
import { isThinking, spoken } from "./spoken.ts"
import type { Watch } from "./watch.ts"

type Ended = Pick<Watch, "looped" | "closedEmpty">
const NOT_ENDED: Ended = { looped: false, closedEmpty: undefined }

/** An answer as guards see it. */
export class Said {
  readonly completion: Completion
  readonly demand: Demand
  /** Without the thoughts. */
  readonly text: string
  /** Why the stream was ended before its time. */
  readonly ended: Ended
  /** Undefined where the demand has no schema. */
  readonly schemas: Schemas | undefined
  #json: JsonReading | string | undefined

  constructor(completion: Completion, demand: Demand, schemas: Schemas | undefined, ended: Ended = NOT_ENDED) {
    this.completion = completion
    this.demand = demand
    this.schemas = schemas
    this.text = spoken(completion.text)
    this.ended = ended
  }

  get json(): JsonReading | string {
    const { text: words, finishReason, toolCalls } = this.completion
    const { keys, schema } = this.demand
    const text = toolCalls[0]?.arguments ?? words
    const fits = (value: unknown) => schema !== undefined && this.schemas?.fits(schema, value) === true
    this.#json ??= readJson(text, { keys, fits }, finishReason)
    return this.#json
  }
}

export interface Guard {
  readonly name: string
  /** What is added to the temperature with each attempt. */
  readonly warmer: number
  /** What the next attempt is told, after the last user message. */
  readonly nudge: string
  /** Whether it can have something to say on answers to this request. */
  armed(demand: Demand): boolean
  /** Why the answer is of no use; undefined: it passes. */
  test(said: Said): string | undefined
}

/** In the order in which they judge. */
export const GUARDS: readonly Guard[] = [
  {
    name: "runaway",
    warmer: 0.3,
    nudge: "Answer briefly, and do not repeat yourself.",
    armed: () => true,
    test: ({ ended, completion }) => {
      const { text, finishReason } = completion
      const hasLooped = ended.looped || loops(text, finishReason.unified === "length")
      return hasLooped && !isWholeJson(text) ? "the answer goes round in circles" : undefined
    },
  },
  {
    name: "empty",
    warmer: 0.3,
    nudge: "Your last answer was empty. Please answer now.",
    armed: () => true,
    test: ({ text, completion }) => {
      const { finishReason, reasoning, toolCalls } = completion
      const wasCut = finishReason.unified === "length" && (reasoning !== "" || isThinking(completion.text))
      const isOurs = finishReason.unified !== "contentFilter" && !wasCut
      return isOurs && text.trim() === "" && toolCalls.length === 0 ? "the answer is empty" : undefined
    },
  },
  {
    name: "repeated-question",
    warmer: 0.2,
    nudge:
      "You have asked this before. Everything that is needed has been said: ask nothing more, and write the " +
      "specification now, without comments.",
    armed: ({ questions }) => questions.length > 0,
    test: ({ text, demand }) =>
      isQuestion(text) && demand.questions.some((question) => areAlike(question, text))
        ? "the answer repeats an earlier question"
        : undefined,
  },
  {
    name: "json",
    warmer: 0.1,
    nudge: "Answer with one whole, valid JSON object and nothing else.",
    armed: ({ json }) => json,
    test: ({ json }) => (typeof json === "string" ? json : undefined),
  },
  emptyList("plan", "Your last answer had an empty plan. Name every step that is still to be done."),
  emptyList("tasks", "Your last answer had no tasks. Name every task that is still to be done."),
  {
    name: "schema",
    warmer: 0.1,
    nudge: "Answer with a JSON object that matches the given schema exactly.",
    armed: ({ schema }) => schema !== undefined,
    test: ({ json, demand, schemas }) => {
      if (typeof json === "string" || demand.schema === undefined) return undefined
      const { keys } = demand
      const has = isObject(json.value) ? Object.keys(json.value) : []
      if (keys.length > 0 && !has.some((key) => keys.includes(key)))
        return `the JSON has none of the keys ${keys.join(", ")}`
      const violation = schemas?.violation(demand.schema, json.value)
      return violation === undefined ? undefined : `the JSON does not match its schema: ${violation}`
    },
  },
]

function emptyList(key: string, nudge: string): Guard {
  return {
    name: `empty-${key}`,
    warmer: 0.3,
    nudge,
    armed: ({ lists }) => lists.includes(key),
    test: ({ json, ended }) => {
      if (ended.closedEmpty === key) return `"${key}" is empty`
      if (typeof json === "string" || !isObject(json.value)) return undefined
      const { [key]: list, ...rest } = json.value
      const isFine = EMPTY_IS_FINE.some((other) => other in rest)
      return Array.isArray(list) && list.length === 0 && !isFine ? `"${key}" is empty` : undefined
    },
  }
}

export interface ChosenGuard {
  readonly guard: Guard
  readonly mode: Mode
  readonly attempts: number
}

/** The guards that the options name. Throws an Error for one that is none. */
export function chosenGuards(options: Pick<RequeryOptions, "guards" | "mode" | "attempts">): readonly ChosenGuard[] {
  const chosen = options.guards.map((entry) => {
    const [, name = "", mode = "hold", attempts] = /^([\w-]+)(?:=(\w+))?(?::(\d+))?$/.exec(entry.trim()) ?? []
    const guard = GUARDS.find((one) => one.name === name)
    if (guard === undefined)
      throw new Error(
        `requery.guards ${entry}: write NAME=MODE:ATTEMPTS, NAME one of ${GUARDS.map((one) => one.name).join(", ")}`,
      )
    if (!isMode(mode)) throw new Error(`requery.guards ${entry}: the mode is one of ${MODES.join(", ")}`)
    return {
      guard,
      mode: options.mode ?? mode,
      attempts: Math.min(options.attempts, Number(attempts ?? options.attempts)),
    }
  })
  return chosen.toSorted((a, b) => GUARDS.indexOf(a.guard) - GUARDS.indexOf(b.guard))
}

function isMode(text: string): text is Mode {
  return MODES.some((mode) => mode === text)
}
