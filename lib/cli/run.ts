/**
 * `llmproxy run -- CMD`: a proxy for one program, which is started with the variables that point it here. Its standard
 * streams are its own: what the proxy has to say goes to stderr or to --log-file.
 */
import { spawn } from "node:child_process"
import { constants } from "node:os"
import { resolve } from "node:path"
import type { Listening } from "../app.ts"
import { messageOf, StartError, systemCodeOf, UsageError } from "../base/errors.ts"
import { baseUrlOf } from "../options/core.ts"
import type { Command, CommandLine } from "./command.ts"
import { makeAsk } from "./doctor/ask.ts"
import { makeEnvironment } from "./env.ts"
import { catchTheRest } from "./last-resort.ts"
import { PROXY_FLAGS } from "./proxy-flags.ts"
import { openaiBaseUrl, prepare, tellState, warnAtStart, writeSummary } from "./proxy-run.ts"
import type { Environment } from "./run/environment.ts"
import { proxyHint } from "./run/node-program.ts"
import { type OuterProxy, outerProxy } from "./run/outer-proxy.ts"
import { fileOutput, type Output } from "./terminal/output.ts"
import type { World } from "./world.ts"

/** Milliseconds for flows that the program has left behind to be reported. */
const GRACE_MS = 1_000
/** Characters of the names before what is said of the local host and the key. */
const STATE_WIDTH = 10
/** What shells exit with for a command that is not there, and for one that cannot be run. */
const NOT_FOUND = 127
const NOT_RUNNABLE = 126

export const runCommand: Command = {
  name: "run",
  usage: "llmproxy run [options] -- CMD ARGS",
  help: "start a proxy on a free port, run CMD through it, and exit with its status",
  takesRest: true,
  toleratesLoss: true,
  flags: {
    ...PROXY_FLAGS,
    port: { type: "text", alias: "p", value: "PORT", help: "Port to listen on.", default: "any free one" },
    "log-file": { type: "text", value: "FILE", help: "Append flows and log to FILE, not to stderr." },
  },
  run,
}

async function run(line: CommandLine, world: World): Promise<number> {
  const [program, ...args] = line.rest ?? []
  if (program === undefined) throw new UsageError("run: what to run stands behind --, as in llmproxy run -- curl URL")
  const log = openLog(line, world)
  try {
    let outer: OuterProxy | undefined
    const prepared = await prepare(line, world, {
      out: log,
      err: log,
      defaults: async ({ mode }) => {
        if (mode.length === 0) outer = await outerProxy(world.env, makeAsk(world.clock))
        return { port: "0", ...(outer === undefined ? {} : modeThrough(outer)) }
      },
    })
    const { app, values, confdir, terminal } = prepared
    const letGo = catchTheRest(prepared.log)
    try {
      const listening = await app.start()
      if (!app.listeners.some(({ mode }) => mode.kind === "regular" || mode.kind === "upstream"))
        throw new UsageError("run: no listener is a proxy that the program could be pointed at; add --mode regular")
      const isQuiet = line.has("quiet")
      await warnAtStart(prepared, app.listeners)
      const { baseUpstream, proxyAuth } = values
      const environment = await makeEnvironment(listening, { confdir, world, baseUpstream, proxyAuth })
      const baseUrl = openaiBaseUrl(listening)
      if (!isQuiet)
        log.write(`llmproxy listening on ${baseUrlOf(listening.host, listening.port)}, base URL ${baseUrl}\n`)
      if (outer !== undefined && !isQuiet)
        log.write(`going on through ${outer.text}, as the environment says; -m regular goes past it\n`)
      if (!isQuiet) await tellState(prepared, world, log, STATE_WIDTH)
      const hint = await proxyHint(program, world)
      if (hint !== undefined && !isQuiet)
        log.write(`${hint}; if its calls do not show up, set ${baseUrlVariable(listening, baseUpstream)}\n`)
      // The program goes on, and learns of it by refused connections.
      app.broken.catch((thrown) => prepared.log.error(messageOf(thrown)))
      return await runProgram(program, args, environment, world)
    } finally {
      await app.stop(GRACE_MS)
      writeSummary(terminal, log)
      letGo()
    }
  } finally {
    log.close()
  }
}

/** Where everything goes on through the shell's own proxy. */
function modeThrough({ via, bypass }: OuterProxy): { mode: string[]; upstreamBypass: readonly string[] } {
  // The slash tells a password of digits from a port to listen on.
  return { mode: [`upstream:${via.replace(/\/*$/, "/")}`], upstreamBypass: bypass }
}

/** The variable by which a client of the base upstream comes here; Anthropic's add /v1 themselves. */
function baseUrlVariable(listening: Listening, baseUpstream: string): string {
  const isAnthropic = URL.canParse(baseUpstream) && new URL(baseUpstream).hostname.endsWith("anthropic.com")
  if (isAnthropic) return `ANTHROPIC_BASE_URL=${baseUrlOf(listening.host, listening.port)}`
  return `OPENAI_BASE_URL=${openaiBaseUrl(listening)}`
}

/** Runs a program to its end. Resolves to its status; 128 and the signal's number when a signal ended it. */
export function runProgram(
  program: string,
  args: readonly string[],
  environment: Environment,
  world: World,
): Promise<number> {
  return new Promise((done) => {
    const child = spawn(program, args, { stdio: "inherit", cwd: world.cwd, env: withVariables(world.env, environment) })
    const stop = world.onSignal((signal) => {
      // A terminal sends Ctrl-C to the program as well: passed on, it would come twice.
      if (signal !== "SIGINT" || !world.err.isTerminal) child.kill(signal)
    })
    child.on("error", (error) => {
      stop()
      const isMissing = systemCodeOf(error) === "ENOENT"
      world.err.write(`llmproxy: run ${program}: ${isMissing ? "no such program" : messageOf(error)}\n`)
      done(isMissing ? NOT_FOUND : NOT_RUNNABLE)
    })
    child.on("exit", (status, signal) => {
      stop()
      done(signal === null ? (status ?? 1) : 128 + constants.signals[signal])
    })
  })
}

function withVariables(env: Environment, more: Environment): NodeJS.ProcessEnv {
  const result: NodeJS.ProcessEnv = { ...env }
  for (const [name, value] of Object.entries(more)) {
    if (value === undefined) delete result[name]
    else result[name] = value
  }
  return result
}

/** Where the proxy's own lines go. */
function openLog(line: CommandLine, world: World): Output & { close(): void } {
  const file = line.text("log-file")
  if (file === undefined) {
    const { err } = world
    return {
      write: (text) => err.write(text),
      isTerminal: err.isTerminal,
      columns: err.columns,
      settled: () => err.settled(),
      close: () => {},
    }
  }
  const path = resolve(world.cwd, file)
  try {
    return fileOutput(path)
  } catch (thrown) {
    throw new StartError(`--log-file ${path}: ${messageOf(thrown)}`)
  }
}
