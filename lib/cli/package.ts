/**
 * Where the package is, seen from its source (lib/cli) and from its compiled form (dist/lib/cli) alike.
 */

import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { findShipped, type SearchPlaces } from "../loader/find.ts"

/** The package finds itself by its name. */
function manifestFile(): string {
  return createRequire(import.meta.url).resolve("llmproxy/package.json")
}

export function version(): string {
  // Our own file, which npm has read: it has a version.
  const { version }: { version: string } = JSON.parse(readFileSync(manifestFile(), "utf8"))
  return version
}

/** The file of a shipped addon, by its bare name. */
export function shippedAddon(name: string, { shipped }: SearchPlaces): string | undefined {
  return shipped === undefined ? undefined : findShipped(name, shipped)
}

/**
 * Where `-s` looks: the current folder, the config file's, then the package's, and by bare name among the shipped addons.
 */
export function addonPlaces(cwd: string, configFile: string): SearchPlaces {
  const root = dirname(manifestFile())
  const source = join(root, "addons")
  const compiled = join(root, "dist", "addons")
  return {
    folders: [cwd, dirname(configFile), root],
    shipped: existsSync(source) ? source : compiled,
    // Compiled, they know the compiled program alone: what runs from source could not give them its objects.
    ...(import.meta.url.endsWith(".js") && { compiled }),
  }
}
