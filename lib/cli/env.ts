/**
 * `llmproxy env`: the variables that `run` sets, as lines for `eval`, or what takes them back. Starts nothing, and says
 * where nobody listens; makes the CA where there is none, because the variables name its files.
 */
import { connect } from "node:net"
import { loadOrCreateCa } from "../../certs/ca.ts"
import { writeCaBundle } from "../../certs/trust.ts"
import type { Clock } from "../base/clock.ts"
import { didYouMean } from "../base/did-you-mean.ts"
import { UsageError } from "../base/errors.ts"
import { baseUrlOf, CORE_OPTIONS } from "../options/core.ts"
import { resolveOptions } from "../options/resolve.ts"
import type { Command, CommandLine } from "./command.ts"
import { ADDRESS_FLAGS, sourcesOf } from "./proxy-flags.ts"
import { type Environment, proxyEnvironment } from "./run/environment.ts"
import { assignments, SHELLS, type Shell, usualShell } from "./run/shell.ts"
import { writeWgetSettings } from "./run/wget-settings.ts"
import type { World } from "./world.ts"

export const envCommand: Command = {
  name: "env",
  usage: "llmproxy env [options]",
  help: "print the variables that point a shell's programs at a proxy that runs, for eval",
  flags: {
    ...ADDRESS_FLAGS,
    shell: { type: "text", value: "SHELL", help: `One of ${SHELLS.join(", ")}.`, default: "by $SHELL" },
    unset: { type: "switch", help: "Print what takes the variables back: whatever they hold, they are gone." },
  },
  async run(line, world) {
    const shell = shellOf(line.text("shell"), world)
    if (line.has("unset")) {
      world.out.write(assignments(Object.fromEntries(variableNames().map((name) => [name, undefined])), shell))
      return 0
    }
    const { at, environment } = await environmentFor(line, world)
    world.out.write(assignments(environment, shell))
    if (!(await answers(at, world.clock))) world.err.write(`llmproxy env: ${nobodyAt(at)}\n`)
    return 0
  },
}

interface Place {
  readonly host: string
  readonly port: number
}

async function environmentFor(line: CommandLine, world: World): Promise<{ at: Place; environment: Environment }> {
  const { sources, confdir } = await sourcesOf(line, world)
  const { host, port, baseUpstream, proxyAuth } = resolveOptions(undefined, CORE_OPTIONS, sources)
  if (port === 0) throw new UsageError("env: the port is 0, which is none yet; name the proxy's with -p PORT")
  const at = { host, port }
  return { at, environment: await makeEnvironment(at, { confdir, world, baseUpstream, proxyAuth }) }
}

/** Those that `env` and `run` set. */
function variableNames(): string[] {
  const nothing = { proxyUrl: "", caFile: "", bundleFile: "", wgetFile: "" }
  return Object.keys(proxyEnvironment({ ...nothing, env: {}, targets: [] }))
}

/** Milliseconds that a host has to take a connection; one that is silent for longer is taken for one that may. */
const CONNECT_MS_MAX = 1_000

/** Whether somebody takes connections there. */
function answers({ host, port }: Place, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: new URL(baseUrlOf(host, port)).hostname.replace(/^\[|\]$/g, ""), port })
    const end = (answered: boolean) => {
      timer.cancel()
      socket.destroy()
      resolve(answered)
    }
    const timer = clock.after(CONNECT_MS_MAX, () => end(true))
    socket.once("connect", () => end(true))
    socket.once("error", () => end(false))
  })
}

function nobodyAt({ host, port }: Place): string {
  const url = baseUrlOf(host, port)
  const flag = port === CORE_OPTIONS.port.default ? "" : ` -p ${port}`
  return (
    `nothing listens on ${url}: what this shell starts reaches nothing until a proxy does; ` +
    `start one (llmproxy${flag}), name its port with -p PORT, or take the variables back: eval "$(llmproxy env --unset)"`
  )
}

export interface EnvironmentPlace {
  readonly confdir: string
  readonly world: World
  readonly baseUpstream: string
  /** USER:PASS that the proxy asks for; empty: none. */
  readonly proxyAuth?: string
}

/** The variables for the programs of a proxy, with the files that they name. Throws a StartError for a broken CA. */
export async function makeEnvironment(
  { host, port }: { readonly host: string; readonly port: number },
  { confdir, world, baseUpstream, proxyAuth = "" }: EnvironmentPlace,
): Promise<Environment> {
  const ca = await loadOrCreateCa(confdir, { clock: () => world.clock.now() })
  const bundleFile = await writeCaBundle(confdir, ca, { env: { ...world.env } })
  return proxyEnvironment({
    proxyUrl: withUser(baseUrlOf(host, port), proxyAuth),
    caFile: ca.paths.certPem,
    bundleFile,
    wgetFile: await writeWgetSettings(confdir, bundleFile, world.env),
    env: world.env,
    targets: URL.canParse(baseUpstream) ? [new URL(baseUpstream).hostname] : [],
  })
}

/** The proxy's URL with its user, as clients take it from HTTPS_PROXY. */
function withUser(url: string, proxyAuth: string): string {
  if (proxyAuth === "") return url
  const colon = proxyAuth.indexOf(":")
  const [user, password] = [proxyAuth.slice(0, colon), proxyAuth.slice(colon + 1)].map(encodeURIComponent)
  return url.replace("://", `://${user}:${password}@`)
}

function shellOf(given: string | undefined, world: World): Shell {
  if (given === undefined) return usualShell(world.platform, world.env)
  const named = given === "bash" || given === "zsh" ? "sh" : given
  const shell = SHELLS.find((name) => name === named)
  if (shell !== undefined) return shell
  throw new UsageError(`--shell ${given}: must be one of ${SHELLS.join(", ")}${didYouMean(given, SHELLS)}`)
}
