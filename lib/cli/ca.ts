/**
 * `llmproxy ca`: where the CA's certificate is, the certificate itself, and the commands that make this machine
 * trust it. Makes the CA where there is none yet; runs no command and changes no trust store.
 */
import { homedir } from "node:os"
import { join } from "node:path"
import type { CommandModule } from "yargs"
import { type Ca, loadOrCreateCa } from "../../certs/ca.ts"
import { type Distro, readDistro, trustCommands, writeCaBundle } from "../../certs/trust.ts"

const ACTIONS = ["path", "print", "trust"] as const
type Action = (typeof ACTIONS)[number]

export interface CaArguments {
  action: Action
  confdir: string
  permit: string[]
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

export const caCommand: CommandModule<object, CaArguments> = {
  command: "ca [action]",
  describe: "show the CA's certificate, or how to trust it",
  builder: (yargs) =>
    yargs
      .positional("action", {
        choices: ACTIONS,
        default: "path" as const,
        describe:
          "path: where the certificate is; print: the certificate; trust: the commands that make this machine trust it",
      })
      .option("confdir", {
        type: "string",
        default: join(homedir(), ".llmproxy"),
        describe: "folder of the CA",
      })
      .option("permit", {
        type: "string",
        array: true,
        nargs: 1, // or it would take the action that follows for another host
        default: [] as string[],
        describe: "limit a new CA to this host, the names below it, or this address (repeatable)",
      }),
  handler: async (args) => {
    const { out, warnings } = await runCa(args, Date.now)
    for (const warning of warnings) process.stderr.write(`${warning}\n`)
    process.stdout.write(out)
  },
}
