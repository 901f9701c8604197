/**
 * Where the package is, seen from its source (lib/cli) and from its compiled form (dist/lib/cli) alike.
 */

import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { isObject } from "../base/json.ts"
import { findShipped, type SearchPlaces } from "../loader/find.ts"

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, "package.json"))) {
    const above = dirname(folder)
    if (above === folder) throw new Error("llmproxy's package.json is missing: install it again")
    folder = above
  }
  return folder
}

export function version(): string {
  const parsed: unknown = JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8"))
  return isObject(parsed) ? String(parsed.version) : "unknown"
}

/** The file of a shipped addon, by its bare name. */
export function shippedAddon(name: string, { shipped }: SearchPlaces): string | undefined {
  return shipped === undefined ? undefined : findShipped(name, shipped)
}

/**
 * Where `-s` looks: the current folder, the config file's, then the package's, and by bare name among the shipped addons.
 */
export function addonPlaces(cwd: string, configFile: string): SearchPlaces {
  const root = packageRoot()
  const source = join(root, "addons")
  const compiled = join(root, "dist", "addons")
  return {
    folders: [cwd, dirname(configFile), root],
    shipped: existsSync(source) ? source : compiled,
    // Compiled, they know the compiled program alone: what runs from source could not give them its objects.
    ...(import.meta.url.endsWith(".js") && { compiled }),
  }
}
