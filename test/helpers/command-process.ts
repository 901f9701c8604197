/**
 * `llmproxy` as people run it, compiled and in a process of its own, with an environment that holds nothing of this
 * machine but the path. Whatever a test starts here, and all that it started in turn, ends with the test.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { delimiter, dirname } from "node:path"
import type { Test } from "tap"
import { builtCommand } from "./dist.ts"

/** Milliseconds after which a process is ended whatever it does: for one that hangs, on however slow a machine. */
const LIFE_MS = 1_800_000

export interface Outcome {
  /** The exit status; undefined when a signal ended it. */
  readonly status: number | undefined
  readonly signal: NodeJS.Signals | undefined
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  /** The current folder, and the home. */
  readonly folder: string
  readonly env?: Readonly<Record<string, string>>
}

/** Runs `llmproxy run FLAGS -- COMMAND` to its end. */
export function runThrough(
  t: Test,
  flags: readonly string[],
  command: readonly string[],
  options: CommandOptions,
): Promise<Outcome> {
  return startCommand(t, ["run", ...flags, "--", ...command], options).outcome
}

// Looked at once a test file: the command's sources do not change while tests run.
let built: string | undefined

/** Starts `llmproxy ARGS`. */
export function startCommand(t: Test, args: readonly string[], options: CommandOptions): RunningCommand {
  built ??= builtCommand()
  return new RunningCommand(t, [process.execPath, built, ...args], options)
}

// A test that runs out of time ends without its teardowns.
const running = new Set<RunningCommand>()
process.once("exit", () => {
  for (const command of running) command.end()
})

export class RunningCommand {
  readonly outcome: Promise<Outcome>
  readonly #child: ChildProcess
  #stdout = ""
  #stderr = ""
  #wake: (() => void)[] = []

  constructor(t: Test, [program = "", ...args]: readonly string[], { folder, env }: CommandOptions) {
    const child = spawn(program, args, {
      cwd: folder,
      env: plainEnvironment(folder, env),
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // A process group of its own, so that what the program started can be ended with it.
    })
    this.#child = child
    running.add(this)
    child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#changed(() => (this.#stdout += text)))
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#changed(() => (this.#stderr += text)))
    const life = setTimeout(() => this.end(), LIFE_MS)
    this.outcome = new Promise((resolve, reject) => {
      child.once("error", reject)
      child.once("close", (status, signal) => {
        clearTimeout(life)
        running.delete(this) // From here on its number may be another's.
        resolve({
          status: status ?? undefined,
          signal: signal ?? undefined,
          stdout: this.#stdout,
          stderr: this.#stderr,
        })
        this.#changed(() => {})
      })
    })
    t.teardown(() => this.end())
  }

  get stderr(): string {
    return this.#stderr
  }

  /** The first match in what was printed; waits for it. Rejects when the process ends without. */
  async printed(pattern: RegExp, from: "stdout" | "stderr" = "stderr"): Promise<RegExpExecArray> {
    for (;;) {
      const text = from === "stdout" ? this.#stdout : this.#stderr
      const match = pattern.exec(text)
      if (match !== null) return match
      if (this.#isOver) throw new Error(`ended without printing ${pattern}: ${this.#stdout}${this.#stderr}`)
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Ends the process and all of its group at once, if anything of it is left. */
  end(): void {
    const { pid } = this.#child
    if (pid === undefined || !running.has(this)) return
    try {
      process.kill(-pid, "SIGKILL")
    } catch {
      // Nobody is left in the group.
    }
  }

  get #isOver(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  #changed(change: () => void): void {
    change()
    for (const wake of this.#wake.splice(0)) wake()
  }
}

/** The path and a home, so that no setting of this machine's user takes part. */
export function plainEnvironment(home: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  // This very Node comes first, so that "node" is what the tests run on.
  const path = [dirname(process.execPath), process.env.PATH].join(delimiter)
  // A hook of ours may take as long as a slow machine does.
  return { PATH: path, HOME: home, LANG: "C.UTF-8", LLMPROXY_HOOK_BUDGET_MS: "600000", ...more }
}

/** Checks the exit status, and shows what was printed where it is another. */
export function exitsWith(t: Test, status: number, outcome: Outcome): void {
  if (outcome.status !== status) t.comment(outcome.stdout, outcome.stderr)
  t.equal(outcome.status ?? outcome.signal, status, `the exit status is ${status}`)
}

/** Why tests of a program are skipped; false where it is installed. */
export function missing(program: string): string | false {
  const { error } = spawnSync(program, ["--version"], { stdio: "ignore" })
  return error === undefined ? false : `${program} is not installed`
}
