/**
 * Where the package is, seen from its source and from its compiled form alike: there this code is in a chunk of dist.
 */

import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { findShipped, type SearchPlaces } from "../loader/find.ts"

const IS_COMPILED = import.meta.url.endsWith(".js")

/** The package finds itself by its name. */
function manifestFile(): string {
  return createRequire(import.meta.url).resolve("llmproxy/package.json")
}

export function version(): string {
  // Our own file, which npm has read: it has a version.
  const { version }: { version: string } = JSON.parse(readFileSync(manifestFile(), "utf8"))
  return version
}

/** A module of the build that runs, by its path without ending, as in lib/cli/demo/proxy; in dist those of build.mjs exist. */
export function ownModule(path: string, isCompiled = IS_COMPILED): URL {
  const root = dirname(manifestFile())
  return pathToFileURL(isCompiled ? join(root, "dist", `${path}.js`) : join(root, `${path}.ts`))
}

/** The file of a shipped addon, by its bare name. */
export function shippedAddon(name: string, { shipped }: SearchPlaces): string | undefined {
  return shipped === undefined ? undefined : findShipped(name, shipped)
}

/**
 * Where `-s` looks: the current folder, the config file's, then the package's, and by bare name among the shipped addons.
 */
export function addonPlaces(cwd: string, configFile: string, isCompiled = IS_COMPILED): SearchPlaces {
  const root = dirname(manifestFile())
  const source = join(root, "addons")
  const compiled = join(root, "dist", "addons")
  return {
    folders: [cwd, dirname(configFile), root],
    shipped: existsSync(source) ? source : compiled,
    // Compiled, they know the compiled program alone: what runs from source could not give them its objects.
    ...(isCompiled && { compiled }),
  }
}
