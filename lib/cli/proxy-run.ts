/**
 * A proxy as a command runs it: options read, terminal output and log attached, started, and stopped with grace.
 * Shared by start and run.
 */

import { App, type Listening } from "../app.ts"
import { type Logger, printable } from "../base/log.ts"
import { Redactor } from "../base/secrets/redactor.ts"
import { readConfigFile } from "../options/config-file.ts"
import { baseUrlOf, CORE_OPTIONS, type CoreValues, logLevelOf } from "../options/core.ts"
import { resolveOptions } from "../options/resolve.ts"
import { isLoopbackHost } from "../proxy/upstream/self.ts"
import type { CommandLine } from "./command.ts"
import { collectShortLived } from "./garbage.ts"
import { type NodeReminder, nodeReminder } from "./node-reminder.ts"
import { addonPlaces } from "./package.ts"
import { type Sources, sourcesOf } from "./proxy-flags.ts"
import { jsonFlows, jsonLogger } from "./terminal/json-log.ts"
import { outputLogger } from "./terminal/log-output.ts"
import type { Output } from "./terminal/output.ts"
import { type Paint, paintFor } from "./terminal/paint.ts"
import { makeTerminal, type Terminal } from "./terminal/terminal.ts"
import { Wrapper } from "./terminal/wrap.ts"
import type { World } from "./world.ts"

/** Milliseconds that open streams get to end after a signal. */
export const GRACE_MS = 10_000

export interface Prepared extends Sources {
  readonly app: App
  readonly values: CoreValues
  readonly log: Logger
  readonly paint: Paint
  readonly terminal: Terminal
  readonly redactor: Redactor
  /** What is to be said of this version of Node; looked up while the program starts, so that nobody waits for it. */
  readonly reminder: Promise<NodeReminder | undefined>
}

export interface PrepareOptions {
  /** Where the lines of the flows go, and the log. */
  readonly out: Output
  readonly err: Output
  /** Values that count where no flag says otherwise, made of what else is said. */
  defaults?(values: CoreValues): Promise<Readonly<Record<string, unknown>>>
}

/** Reads what the line, the environment and the files say. Throws a UsageError. */
export async function prepare(
  line: CommandLine,
  world: World,
  { out, err, defaults }: PrepareOptions,
): Promise<Prepared> {
  collectShortLived()
  const read = await sourcesOf(line, world)
  const said = await defaults?.(resolveOptions(undefined, CORE_OPTIONS, read.sources))
  const sources = { ...read.sources, flags: { ...said, ...read.sources.flags } }
  const values = resolveOptions(undefined, CORE_OPTIONS, sources)
  const isQuiet = line.has("quiet")
  const [paint, logPaint] = await Promise.all([
    paintFor(world.env, out.isTerminal),
    paintFor(world.env, err.isTerminal),
  ])
  const redactor = new Redactor()
  const least = isQuiet ? "warn" : line.has("verbose") ? "debug" : logLevelOf(values)
  const isJson = values.logFormat === "json"
  const log = isJson ? jsonLogger(err, world.clock, least, redactor) : outputLogger(err, logPaint, least, redactor)
  const terminal = makeTerminal({ out, paint, detail: isQuiet || isJson ? 0 : values.flowDetail, redactor })
  const shown = isJson && !isQuiet && values.flowDetail > 0 ? jsonFlows(out, redactor) : terminal.addon
  const app = new App({
    sources,
    live: {
      file: read.configFile,
      read: async () => ({ ...sources, config: await readConfigFile(read.configFile, false) }),
    },
    scripts: line.list("script"),
    places: addonPlaces(world.cwd, read.configFile),
    confdir: read.confdir,
    log,
    builtin: shown === undefined ? [] : [shown],
    clock: world.clock,
    redactor,
  })
  const { confdir, configFile } = read
  const reminder = isQuiet ? Promise.resolve(undefined) : nodeReminder(world, confdir)
  return { app, values, log, paint, terminal, redactor, reminder, sources, confdir, configFile }
}

/** Warnings about where the proxy runs and listens. */
export async function warnAtStart(
  { app, log, values, reminder }: Pick<Prepared, "app" | "log" | "values" | "reminder">,
  listeners: readonly Listening[],
): Promise<void> {
  const node = await reminder
  if (node !== undefined) {
    log.warn(node.text)
    await node.said()
  }
  const open = new Set(listeners.map(({ host }) => host).filter((host) => !isLoopbackHost(host)))
  for (const host of open) log.warn(`listening on ${host}: ${whoMayCome(values, app.addons.chain.asksEverywhere)}`)
}

/** A name and what it names, which hangs where it is longer than a line. `width`: columns of the names. */
function rowText(
  name: string,
  text: string,
  { paint, width, err }: { readonly paint: Paint; readonly width: number; readonly err: Output },
): string {
  const lines = new Wrapper(err.columns, " ".repeat(width + 4)).feed(text)
  return `  ${paint("dim", name.padEnd(width))}  ${lines}\n`
}

/**
 * With the conductor: whether there is a cloud key, and, when they have answered, the local hosts. Nobody waits for them.
 * `width`: characters of the names before each.
 */
export async function tellState(prepared: Prepared, world: World, err: Output, width: number): Promise<void> {
  const { app, paint, redactor } = prepared
  if (!app.addons.chain.addons.some(({ name }) => name === "conductor")) return
  const { stateAtStart } = await import("./doctor/at-start.ts")
  const tell = (name: string, text: string) =>
    err.write(rowText(name, printable(redactor.text(text)), { paint, width, err }))
  const { cloudKey, localHosts } = stateAtStart(prepared, world)
  tell("cloud key", cloudKey)
  void localHosts.then((hosts) => {
    for (const host of hosts) tell("local host", host)
  })
}

/** What an address that others can reach means for them. */
function whoMayCome({ proxyAuth, proxyAuthFile, allowClients }: CoreValues, isAsked: boolean): string {
  const has = "can use the proxy and the keys that it adds"
  const users = proxyAuth !== "" || proxyAuthFile !== ""
  if (isAsked && allowClients.length === 0) return `whoever has a key ${has}`
  if (allowClients.length > 0) {
    const from = allowClients.join(", ")
    if (isAsked) return `whoever has a key, from ${from}, ${has}`
    return users ? `users with a password from ${from} ${has}` : `whoever is in ${from} ${has}`
  }
  if (users) return `users with a password ${has}; limit where they come from with --allow-clients CIDR`
  return (
    "clients of other machines are turned away; let them in with --allow-clients CIDR (as in 192.168.0.0/16), " +
    "or let users in with --proxy-auth USER:PASS"
  )
}

/** The base URL for OpenAI's clients. */
export function openaiBaseUrl({ host, port }: Listening): string {
  return `${baseUrlOf(host, port)}/v1`
}

/** What a person reads when the program ends. */
export function writeSummary(terminal: Terminal, err: Output): void {
  const text = terminal.summary.text()
  if (text !== "") err.write(`\n${text}`)
}
