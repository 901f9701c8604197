/**
 * `llmproxy`: starts the proxy and runs it until a signal comes. Open streams may then end; a second signal ends them.
 */

import { shellQuote } from "../../certs/trust.ts"
import type { Listening, ModeListening } from "../app.ts"
import { messageOf } from "../base/errors.ts"
import { baseUrlOf } from "../options/core.ts"
import { hostAndPort } from "../proxy/io/authority.ts"
import type { Command, CommandLine } from "./command.ts"
import { catchTheRest } from "./last-resort.ts"
import { PROXY_FLAGS } from "./proxy-flags.ts"
import { GRACE_MS, openaiBaseUrl, type Prepared, prepare, tellState, warnAtStart, writeSummary } from "./proxy-run.ts"
import type { World } from "./world.ts"

export const startCommand: Command = {
  name: "start",
  usage: "llmproxy [options]",
  help: "start the proxy (what happens without a command)",
  flags: {
    ...PROXY_FLAGS,
    options: { type: "switch", help: "Print all options, those of the loaded addons too, and end." },
  },
  toleratesLoss: true,
  run: start,
  more: async (line, world) => {
    const { addonHelp } = await import("./options-help.ts")
    return await addonHelp(line, world)
  },
}

async function start(line: CommandLine, world: World): Promise<number> {
  if (line.has("options")) {
    const { allOptions } = await import("./options-help.ts")
    world.out.write(await allOptions(line, world))
    return 0
  }
  const prepared = await prepare(line, world, { out: world.out, err: world.err })
  const { app, terminal } = prepared
  const signals = new SignalWaiter(world)
  const letGo = catchTheRest(prepared.log)
  try {
    const starting = app.start()
    const listening = await Promise.race([starting, signals.first])
    if (listening === undefined) {
      // A start may hang, as on a file that is a pipe: a signal ends it all the same, and what comes of it is closed.
      starting.then(
        () => app.stop(),
        (thrown) => prepared.log.debug(messageOf(thrown)),
      )
      return 0
    }
    const isQuiet = line.has("quiet")
    await warnAtStart(prepared, app.listeners)
    if (prepared.values.logFormat === "json") prepared.log.info(`listening on ${addressOf(listening, app.listeners)}`)
    else if (!isQuiet) {
      const rows = announcedRows(listening, prepared, line)
      world.err.write(announcement(listening, prepared, rows))
      await tellState(prepared, world, world.err, rowWidth(rows))
    }
    await Promise.race([signals.first, app.broken])
    signals.endAtNext()
    if (app.clients > 0 && !isQuiet) prepared.log.info("ending: open streams get 10 s; once more to end them now")
    await app.stop(GRACE_MS)
    writeSummary(terminal, world.err)
    return 0
  } catch (thrown) {
    await app.stop()
    throw thrown
  } finally {
    letGo()
    signals.stop()
  }
}

/** A name and what it names. */
type Row = readonly [name: string, text: string]

/** What a person needs to point a client at the proxy. */
function announcedRows(listening: Listening, { app, values, confdir }: Prepared, line: CommandLine): Row[] {
  const { port } = listening
  const { listeners } = app
  const first = listenerAt(listening, listeners)
  const isProxy = first?.mode.kind === "regular" || first?.mode.kind === "upstream"
  const env = ["llmproxy env"]
  if (port !== 8080) env.push("-p", String(port))
  const host = values.mode.length > 0 ? listening.host : values.host
  if (host !== "127.0.0.1") env.push("--host", shellQuote(host))
  if (line.text("confdir") !== undefined) env.push("--confdir", shellQuote(confdir))
  // One without hooks does nothing: it has nothing to do, or only names others.
  const addons = app.addons.chain.addons
    .filter(({ file, hooks }) => file !== undefined && Object.keys(hooks).length > 0)
    .map(({ name }) => name)
  const ways: Row[] = [
    ["base URL", `OPENAI_BASE_URL=${openaiBaseUrl(listening)}`],
    ["all traffic of a shell", `eval "$(${env.join(" ")})"`],
  ]
  const others = listeners.filter((one) => one !== first || one.text !== one.mode.kind)
  return [
    ...(addons.length === 0 ? [] : [["addons", addons.join(", ")] as const]),
    ...(isProxy ? ways : []),
    // Of the first one the line above says it all, unless its mode leads somewhere.
    ...others.map((one): Row => [one.text, urlOf(one)]),
  ]
}

function announcement(listening: Listening, { app, paint }: Prepared, rows: readonly Row[]): string {
  const url = addressOf(listening, app.listeners)
  const width = rowWidth(rows)
  const lines = rows.map(([name, text]) => `  ${paint("dim", name.padEnd(width))}  ${text}\n`)
  return `llmproxy listening on ${paint("bold", url)}\n${lines.join("")}`
}

function addressOf(listening: Listening, listeners: readonly ModeListening[]): string {
  const first = listenerAt(listening, listeners)
  return first === undefined ? baseUrlOf(listening.host, listening.port) : urlOf(first)
}

function listenerAt({ host, port }: Listening, listeners: readonly ModeListening[]): ModeListening | undefined {
  return listeners.find((one) => one.host === host && one.port === port)
}

function rowWidth(rows: readonly Row[]): number {
  return Math.max(0, ...rows.map(([name]) => name.length))
}

/** What a client of that mode is given. */
function urlOf({ mode, host, port }: ModeListening): string {
  if (mode.kind === "transparent")
    return `${hostAndPort(host, port)}, for redirected connections: see llmproxy doctor -m transparent`
  const url = baseUrlOf(host, port)
  return mode.kind === "socks5" ? url.replace(/^http/, "socks5") : url
}

/** The first signal asks the program to end, the second one ends it. */
class SignalWaiter {
  readonly first: Promise<void>
  readonly stop: () => void
  #isEnding = false

  constructor(world: World) {
    let came = () => {}
    this.first = new Promise((resolve) => {
      came = resolve
    })
    this.stop = world.onSignal(() => {
      if (this.#isEnding) world.exit(0)
      else came()
    })
  }

  endAtNext(): void {
    this.#isEnding = true
  }
}
