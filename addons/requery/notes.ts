/** What the re-query leaves on a flow for who reads its record: nothing is decided by it. */
import type { Flow } from "llmproxy"
import { Note } from "../shared/local-answers.ts"
import type { ChosenGuard } from "./guards.ts"

/** What a guard has found in an answer. */
export interface Found {
  readonly guard: string
  readonly mode: ChosenGuard["mode"]
  readonly why: string
}

/** In the order in which they were found. */
export const FINDINGS = new Note<readonly Found[]>("requery.findings", (value): value is Found[] =>
  Array.isArray(value),
)

/** The attempt whose answer the client gets, from 1 on, and who gave it. */
export function noteAccepted(flow: Pick<Flow, "metadata">, attempt: number, from: "local" | "cloud"): void {
  flow.metadata["requery.accepted"] = { attempt, from }
}

/** The client gets the JSON alone: prose, a fence or a small fault that stood around it was taken off. */
export function noteMended(flow: Pick<Flow, "metadata">): void {
  flow.metadata["requery.mended"] = true
}
