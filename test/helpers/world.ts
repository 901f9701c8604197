/** A process for tests of commands: nothing of this machine, what is printed is kept, signals are sent by hand. */

import type { Clock } from "../../lib/base/clock.ts"
import { systemClock } from "../../lib/base/clock.ts"
import type { Output } from "../../lib/cli/terminal/output.ts"
import type { World } from "../../lib/cli/world.ts"

export interface FakeWorldOptions {
  env?: Record<string, string | undefined>
  cwd?: string
  home?: string
  /** Columns of the terminal; without, nothing is one. */
  columns?: number
  nodeVersion?: string
  platform?: NodeJS.Platform
  clock?: Clock
}

export class FakeWorld implements World {
  readonly env: Record<string, string | undefined>
  readonly cwd: string
  readonly home: string
  readonly platform: NodeJS.Platform
  readonly nodeVersion: string
  readonly clock: Clock
  readonly out: KeptOutput
  readonly err: KeptOutput
  readonly exits: number[] = []
  readonly #listeners = new Set<(signal: NodeJS.Signals) => void>()

  constructor(options: FakeWorldOptions = {}) {
    this.env = options.env ?? {}
    this.cwd = options.cwd ?? "/nowhere"
    this.home = options.home ?? "/nowhere/home"
    this.platform = options.platform ?? "linux"
    this.nodeVersion = options.nodeVersion ?? "24.22.1"
    this.clock = options.clock ?? systemClock
    this.out = new KeptOutput(options.columns)
    this.err = new KeptOutput(options.columns)
  }

  onSignal(listener: (signal: NodeJS.Signals) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Of signals. */
  get listeners(): number {
    return this.#listeners.size
  }

  signal(signal: NodeJS.Signals): void {
    for (const listener of [...this.#listeners]) listener(signal)
  }

  exit(status: number): void {
    this.exits.push(status)
  }
}

export class KeptOutput implements Output {
  text = ""
  readonly columns: number | undefined
  #waiters: { part: string | RegExp; found(): void }[] = []

  constructor(columns: number | undefined) {
    this.columns = columns
  }

  get isTerminal(): boolean {
    return this.columns !== undefined
  }

  write(text: string): void {
    this.text += text
    for (const waiter of this.#waiters.filter(({ part }) => this.#has(part))) waiter.found()
    this.#waiters = this.#waiters.filter(({ part }) => !this.#has(part))
  }

  /** Why something of what was written is missing: set by hand. */
  lost: string | undefined

  settled(): Promise<string | undefined> {
    return Promise.resolve(this.lost)
  }

  /** Resolves when the text holds `part`. */
  until(part: string | RegExp): Promise<void> {
    if (this.#has(part)) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ part, found: resolve }))
  }

  #has(part: string | RegExp): boolean {
    return typeof part === "string" ? this.text.includes(part) : part.test(this.text)
  }
}
