/**
 * `llmproxy ca`: where the CA's certificate is, the certificate itself, and the commands that make this machine
 * trust it. Makes the CA where there is none yet; runs no command and changes no trust store.
 */
import { type Ca, loadOrCreateCa } from "../../certs/ca.ts"
import { type Distro, readDistro, trustCommands, writeCaBundle } from "../../certs/trust.ts"
import type { Command } from "./command.ts"
import { confdirOf, PLACE_FLAGS } from "./proxy-flags.ts"

const ACTIONS = ["path", "print", "trust"] as const
type Action = (typeof ACTIONS)[number]

export interface CaArguments {
  action: Action
  confdir: string
  permit: readonly string[]
}

/** What the command prints: `out` on stdout, `warnings` on stderr. */
export interface CaOutput {
  out: string
  warnings: readonly string[]
}

/** Throws StartError where the CA cannot be read or made, UsageError where `permit` names no host. */
export async function runCa({ action, confdir, permit }: CaArguments, clock: () => number): Promise<CaOutput> {
  const ca = await loadOrCreateCa(confdir, { clock, permit })
  switch (action) {
    case "path":
      return { out: `${ca.paths.certPem}\n`, warnings: ca.warnings }
    case "print":
      return { out: ca.certPem, warnings: ca.warnings }
    case "trust":
      // The commands name the bundle, so it has to be there.
      await writeCaBundle(confdir, ca)
      return { out: trustText(ca, process.platform, await readDistro()), warnings: ca.warnings }
  }
}

/** The commands with their titles as shell comments, so that the whole may be pasted, or piped to a file. */
export function trustText(
  ca: Pick<Ca, "paths" | "fingerprint256">,
  platform: NodeJS.Platform,
  distro: Distro | undefined,
): string {
  const steps = trustCommands(platform, ca.paths.certPem, distro).map(
    ({ title, commands }) => `# ${title}\n${commands.join("\n")}\n`,
  )
  const intro =
    "# Run what you need of these; llmproxy runs none. Programs started by `llmproxy run` need none.\n" +
    `# SHA-256 of the certificate: ${ca.fingerprint256}\n`
  return [intro, ...steps].join("\n")
}

export const caCommand: Command = {
  name: "ca",
  usage: "llmproxy ca [path|print|trust]",
  help: "show where the CA's certificate is, the certificate, or the commands that make this machine trust it",
  words: ACTIONS,
  flags: {
    confdir: PLACE_FLAGS.confdir,
    permit: {
      type: "list",
      value: "HOST",
      help: "Limit a new CA to this host and the names below it, or to this address (repeatable).",
    },
  },
  async run(line, world) {
    const [action = "path"] = ACTIONS.filter((name) => name === line.words[0])
    const request = { action, confdir: confdirOf(line, world), permit: line.list("permit") }
    const { out, warnings } = await runCa(request, () => world.clock.now())
    for (const warning of warnings) world.err.write(`${warning}\n`)
    world.out.write(out)
    return 0
  },
}
