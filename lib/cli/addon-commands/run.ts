/**
 * Runs an addon's command: what it has asked for in `setup` is there first, a signal asks it to end and then ends it, and
 * whatever it throws becomes one line and an exit status. What it keeps is on the disk before the program ends.
 */
import type { App } from "../../app.ts"
import { abortOfMany } from "../../base/aborts.ts"
import { StartError, UsageError } from "../../base/errors.ts"
import { printableLines } from "../../base/log.ts"
import type { Redactor } from "../../base/secrets/redactor.ts"
import type { DeclaredCommand, GivenLine } from "../../loader/commands.ts"
import { addonFailure } from "../../loader/version.ts"
import type { CommandLine } from "../command.ts"
import { hearTheRest } from "../last-resort.ts"
import type { Output } from "../terminal/output.ts"
import type { World } from "../world.ts"
import { valuesOf } from "./flags.ts"

/** Milliseconds that a command has to end once it was asked to. */
const GRACE_MS = 2_000
/** Milliseconds; nothing happens then. */
const ALIVE_MS = 60_000

export interface RunSurroundings {
  readonly line: CommandLine
  readonly world: World
  readonly app: App
  readonly isVerbose: boolean
  readonly redactor: Redactor
}

export async function runDeclared(
  declared: DeclaredCommand,
  { line, world, app, isVerbose, redactor }: RunSurroundings,
): Promise<number> {
  valuesOf(declared.options, line) // What does not fit is told before anything begins.
  await app.ready(declared.addon)
  const ending = abortOfMany()
  let late = () => {}
  const ended = new Promise<number>((resolve) => {
    late = () => resolve(1)
  })
  const letGo = world.onSignal(() => {
    if (ending.signal.aborted) world.exit(1)
    ending.abort()
    world.clock.after(GRACE_MS, late)
  })
  // Node would end the process with what was thrown, secrets and all, and what was kept might not be on the disk.
  let unheard = () => {}
  const stray = new Promise<never>((_, reject) => {
    unheard = hearTheRest(reject)
  })
  stray.catch(() => {}) // Told by the race below.
  // What a command waits for may be nothing that keeps the process alive.
  const alive = setInterval(() => {}, ALIVE_MS)
  try {
    const given: GivenLine = {
      flagsBy: (specs) => valuesOf(specs, line),
      operands: line.words,
      signal: ending.signal,
      ...printing(world),
    }
    const run = async () => declared.run(given)
    const status = await Promise.race([run(), ended, stray])
    return ending.signal.aborted ? 1 : statusOf(status, declared.name)
  } catch (thrown) {
    if (ending.signal.aborted) return 1
    if (thrown instanceof UsageError || thrown instanceof StartError) throw thrown
    if (isVerbose && thrown instanceof Error) world.err.write(`${printableLines(redactor.text(thrown.stack ?? ""))}\n`)
    throw new StartError(`${declared.name}: failed: ${addonFailure(thrown)}`)
  } finally {
    clearInterval(alive)
    unheard()
    letGo()
  }
}

function printing({ out, err }: World): { print(text: string): void; note(text: string): void } {
  const writer = (output: Output) => (text: string) => output.write(output.isTerminal ? printableLines(text) : text)
  return { print: writer(out), note: writer(err) }
}

function statusOf(returned: unknown, name: string): number {
  if (returned === undefined) return 0
  if (typeof returned === "number" && Number.isInteger(returned) && returned >= 0 && returned <= 255) return returned
  throw new StartError(`${name}: failed: it returned ${String(returned)}, which is no exit status`)
}
