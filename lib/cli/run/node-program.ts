/**
 * Whether a program runs on a Node whose fetch takes no proxy from the environment: its calls would pass us by, and the
 * person should hear of it before wondering.
 */
import { execFile } from "node:child_process"
import { open, realpath } from "node:fs/promises"
import { basename, delimiter, join, resolve } from "node:path"
import { promisify } from "node:util"
import { usesEnvProxy } from "../node-version.ts"
import type { World } from "../world.ts"

/** Enough for the first line of a script. */
const FIRST_LINE_BYTES = 256
/** Milliseconds that `node --version` may take. */
const VERSION_MS = 2_000
// They read HTTPS_PROXY themselves; the last two start a program that is none of Node's.
const OWN_PROXY = new Set(["npm", "pnpm", "yarn", "corepack", "codex", "claude"])
const NODE_NAMES = new Set(["node", "nodejs", "npx", "tsx", "ts-node"])

/** One sentence without its end, or undefined where the program takes the proxy, or is none of Node's. */
export async function proxyHint(program: string, world: World): Promise<string | undefined> {
  const name = basename(program).replace(/\.(exe|cmd|ps1)$/i, "")
  if (OWN_PROXY.has(name)) return undefined
  const file = await findProgram(program, world)
  if (file === undefined || !(NODE_NAMES.has(name) || (await isNodeScript(file)))) return undefined
  const node = name === "node" || name === "nodejs" ? file : await findProgram("node", world)
  const version = node === undefined ? undefined : await versionOf(node, world)
  if (version === undefined || usesEnvProxy(version)) return undefined
  return `${name} runs on Node ${version}, whose fetch ignores HTTPS_PROXY (22.21 and 24 honour it)`
}

/** The file that a shell would run. */
async function findProgram(program: string, world: World): Promise<string | undefined> {
  const folders = program.includes("/") ? [""] : (world.env.PATH ?? "").split(delimiter)
  for (const folder of folders) {
    const found = await realpath(resolve(world.cwd, join(folder, program))).catch(() => undefined)
    if (found !== undefined) return found
  }
  return undefined
}

async function isNodeScript(file: string): Promise<boolean> {
  const handle = await open(file, "r").catch(() => undefined)
  if (handle === undefined) return false
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(FIRST_LINE_BYTES), 0, FIRST_LINE_BYTES, 0)
    return /^#!.*\bnode\b/.test(buffer.toString("latin1", 0, bytesRead))
  } catch {
    return false // a folder
  } finally {
    await handle.close()
  }
}

async function versionOf(node: string, world: World): Promise<string | undefined> {
  if (node === process.execPath) return world.nodeVersion
  const asked = await promisify(execFile)(node, ["--version"], { timeout: VERSION_MS }).catch(() => undefined)
  return asked === undefined ? undefined : /^v(\d+\.\d+\.\d+)/.exec(asked.stdout)?.[1]
}
