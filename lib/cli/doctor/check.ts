/**
 * What doctor looks at, and what it may use: each check is a function from the patient to findings, and everything of
 * the machine that it needs is in the patient, so that tests can make any machine.
 */
import type { Ca } from "../../../certs/ca.ts"
import type { Clock } from "../../base/clock.ts"
import type { CoreValues } from "../../options/core.ts"
import type { LlamaPlace } from "../../services/llama-package.ts"
import type { Ask } from "./ask.ts"
import type { ConductorValues } from "./conductor-values.ts"

/** `bad`: something is broken. `note`: worth knowing, and nothing has to be done. */
export type Mark = "good" | "bad" | "note"

export interface Finding {
  readonly mark: Mark
  readonly text: string
  /** What to do. */
  readonly fix?: string
}

export interface Patient {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly nodeVersion: string
  readonly confdir: string
  readonly values: CoreValues
  readonly conductor: ConductorValues
  /** What runs models on this machine, where it is installed. */
  readonly llama: LlamaPlace
  readonly ask: Ask
  /** Whether a listener can be opened there; else the system's code. */
  listens(host: string, port: number): Promise<"free" | string>
  /** Throws a StartError for a CA that cannot be used. */
  loadCa(): Promise<Ca | undefined>
  isTrusted(ca: Ca): Promise<"yes" | "no" | "unknown">
  /** Whether a file of certificates holds the CA; `unreadable` where there is no such file. */
  holdsCa(ca: Ca, file: string): Promise<"yes" | "no" | "unreadable">
}

export type Check = (patient: Patient) => Promise<Finding[]>
