/**
 * The warning about this version of Node, once a week and not at each start: it stands before everything that a person
 * wants to read, and `doctor` has it at any time. When it was said last stands in the confdir.
 */
import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { writeWhole } from "../../certs/files.ts"
import { isObject, parseJson } from "../base/json.ts"
import { nodeWarning } from "./node-version.ts"
import type { World } from "./world.ts"

const PERIOD_MS = 7 * 86_400_000
const FILE = "node-warning.json"
const PRIVATE_FILE = 0o600

export interface NodeReminder {
  /** One line. */
  readonly text: string
  /** It has been said. Where that cannot be kept it is said again. Never rejects. */
  said(): Promise<void>
}

/** Undefined when all is well or it was said in the last seven days. Never rejects, and writes nothing. */
export async function nodeReminder(
  { nodeVersion, clock }: Pick<World, "nodeVersion" | "clock">,
  confdir: string,
): Promise<NodeReminder | undefined> {
  const warning = nodeWarning(nodeVersion)
  if (warning === undefined) return undefined
  const file = join(confdir, FILE)
  const now = clock.now()
  if (await wasSaid(file, nodeVersion, now)) return undefined
  return {
    text: `${warning} (said once a week; llmproxy doctor says it always)`,
    said: () =>
      writeWhole(file, `${JSON.stringify({ version: nodeVersion, at: now })}\n`, PRIVATE_FILE).catch(() => {}),
  }
}

async function wasSaid(file: string, version: string, now: number): Promise<boolean> {
  const said = parseJson(await plainText(file).catch(() => ""))
  if (!isObject(said) || said.version !== version || typeof said.at !== "number") return false
  return said.at <= now && now - said.at < PERIOD_MS
}

/** Of what is no plain file nothing: the proxy, which listens already, would wait for who writes into a pipe. */
async function plainText(file: string): Promise<string> {
  return (await stat(file)).isFile() ? await readFile(file, "utf8") : ""
}
