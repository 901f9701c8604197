/**
 * What the manager of addons is given, and what it tells. Types alone.
 */
import type { SearchPlaces } from "./find.ts"
import type { VersionMakerOptions } from "./version.ts"

/** What else `reconfigure` does with the new values in place. */
export interface Reconfiguration {
  /** Throws a UsageError where the program itself cannot have them. */
  readonly judge: () => void
  /** What is to be loaded; undefined: what is loaded stays. */
  readonly scripts: () => readonly string[] | undefined
}

export interface AddonManagerOptions extends VersionMakerOptions {
  /** Milliseconds that an asynchronous hook may work. */
  readonly budgetMs: number
  readonly places: SearchPlaces
  /** Whether changed files are noticed; `reload()` works without. */
  readonly watch: boolean
}

export interface ReloadResult {
  readonly name: string
  readonly file: string
  readonly outcome: "reloaded" | "failed"
  /** Why it failed. */
  readonly message: string | undefined
}

/** A version that was not made: what was read for it, and why. */
export interface Failure {
  readonly files: ReadonlyMap<string, string>
  readonly message: string
}
