/**
 * Where node-llama-cpp is, which runs models on this machine: no dependency, since it takes 85 MB and few want it. Found, never
 * loaded here: the addon local-model loads it in a process of its own.
 */
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"

const NAME = "node-llama-cpp"
/** Exact: what is used of it is typed by hand. */
const VERSION = "3.22.1"
/** What it was built for, by platform and architecture as Node names them; without a graphics card. */
const BUILDS: Readonly<Record<string, string>> = {
  "linux-x64": "linux-x64",
  "linux-arm64": "linux-arm64",
  "linux-arm": "linux-armv7l",
  "darwin-x64": "mac-x64",
  "darwin-arm64": "mac-arm64-metal",
  "win32-x64": "win-x64",
  "win32-arm64": "win-arm64",
}

export interface LlamaPlace {
  /** Where people are told to install it. */
  readonly folder: string
  /** Of the module, for `import()`; undefined: it is not installed. */
  readonly url: string | undefined
}

/** Looks in `folder` alone where one is given; else beside this program, and then in ~/.llmproxy/node-llama-cpp. */
export function findLlama(folder?: string, { home = homedir(), from = import.meta.url } = {}): LlamaPlace {
  if (folder !== undefined) return { folder: resolve(folder), url: moduleIn(resolve(folder)) }
  const own = join(home, ".llmproxy", NAME)
  return { folder: own, url: moduleFrom(from) ?? moduleIn(own) }
}

/** The one command that installs it; where nothing was built for the machine, the package alone. */
export function llamaInstall(folder: string, platform: string = process.platform, arch: string = process.arch): string {
  const build = BUILDS[`${platform}-${arch}`]
  const packages = [NAME, ...(build === undefined ? [] : [`@${NAME}/${build}`])].map((name) => `${name}@${VERSION}`)
  const place = /^[\w./:@~-]+$/.test(folder) ? folder : JSON.stringify(folder)
  return `npm install --prefix ${place} --omit=optional --ignore-scripts ${packages.join(" ")}`
}

function moduleIn(folder: string): string | undefined {
  const place = join(folder, "node_modules", NAME)
  return existsSync(join(place, "package.json"))
    ? moduleFrom(pathToFileURL(join(folder, "package.json")).href)
    : undefined
}

function moduleFrom(from: string): string | undefined {
  try {
    return pathToFileURL(createRequire(from).resolve(NAME)).href
  } catch {
    return undefined
  }
}
