/**
 * What the shipped addons know of each other: the conductor, which asks local hosts; the re-query, which judges what they
 * answer; what keeps records of both. They are loaded each by itself and may be of two versions at a reload, so that
 * they tell each other things on the flow: by its route's name, and by notes, which are data that the record keeps too.
 */
import type { Flow } from "llmproxy"

/** The names of the conductor's routes: who answers the flow. */
export const ROUTES = { local: "local", cloud: "cloud" } as const

/** A client's field that asks for one of them. The conductor takes it off; nothing that is asked again has it. */
export const ROUTE_FIELD = "x-llmproxy-route"

/** Where neither the request nor an option says one: of what goes to local hosts. */
export const TEMPERATURE_DEFAULT = 0.3

/** A note on a flow, under a name that begins with its writer's. Who else writes there is not believed. */
export class Note<T> {
  readonly name: string
  readonly #isValue: (value: unknown) => value is T

  constructor(name: string, isValue: (value: unknown) => value is T) {
    this.name = name
    this.#isValue = isValue
  }

  /** What is written; undefined: nothing, or nothing that could be read. */
  of({ metadata }: Pick<Flow, "metadata">): T | undefined {
    const value = metadata[this.name]
    return this.#isValue(value) ? value : undefined
  }

  write({ metadata }: Pick<Flow, "metadata">, value: T): void {
    metadata[this.name] = value
  }
}

/** When the re-query asks again for an empty answer: always, or only where the cloud may not be asked in its place. */
export type JudgesEmpty = "always" | "where it may not leave"

/** The re-query to the conductor, before a local host has answered: an empty answer is to be handed on, it will judge it. */
export const JUDGES_EMPTY = new Note<JudgesEmpty>(
  "requery.empty",
  (value): value is JudgesEmpty => value === "always" || value === "where it may not leave",
)

/** The conductor to the re-query: the answer that comes is empty, so that nothing of it has to leave before it is judged. */
export const IS_EMPTY = new Note<true>("conductor.empty", (value): value is true => value === true)
