/**
 * wget takes no file of roots from a variable, only from its settings. SYSTEM_WGETRC names those of the system: here
 * they are copied with our bundle added, so that the user's own ~/.wgetrc is read after them, as ever, and wins.
 * GNU Wget manual 1.21, section 6.1 "Wgetrc Location" and the command ca_certificate.
 */
import { readFile } from "node:fs/promises"
import { resolve } from "node:path"
import { writeWhole } from "../../../certs/files.ts"

export const WGET_VARIABLE = "SYSTEM_WGETRC"
const NAME = "llmproxy-wgetrc"
const USUAL = "/etc/wgetrc"
/** Passwords may stand in the settings. */
const MODE = 0o600

/** Writes the settings and returns their path. `system`: what is read where the variable names nothing. */
export async function writeWgetSettings(
  confdir: string,
  bundleFile: string,
  env: Readonly<Record<string, string | undefined>>,
  system = USUAL,
): Promise<string> {
  const target = resolve(confdir, NAME)
  const named = env[WGET_VARIABLE]
  // Inside `llmproxy run` the variable names this very file.
  const text = await readFile(named && named !== target ? named : system, "latin1").catch(() => "")
  const lines = text.split("\n").filter((line) => !/^\s*ca_?-?certificate\s*=/i.test(line))
  const ours = Buffer.from(`ca_certificate = ${bundleFile}\n`, "utf8").toString("latin1")
  await writeWhole(target, Buffer.from(`${lines.join("\n").trimEnd()}\n${ours}`.trimStart(), "latin1"), MODE)
  return target
}
