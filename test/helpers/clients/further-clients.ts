/**
 * Clients that are too large for every installation of this package: LLMPROXY_TEST_CLIENTS names a folder with
 * node_modules in which some of them are installed (.ci/run says which, and their versions).
 */
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { usesEnvProxy } from "../../../lib/cli/node-version.ts"

const { LLMPROXY_TEST_CLIENTS: named } = process.env
export const furtherFolder = named === undefined ? undefined : resolve(named)

/** A file of a package in that folder; undefined where it is not installed. */
export function furtherFile(path: string): string | undefined {
  const file = furtherFolder === undefined ? undefined : resolve(furtherFolder, "node_modules", path)
  return file !== undefined && existsSync(file) ? file : undefined
}

/** A Node whose fetch takes a proxy from the environment: this one, else the package of npm's that holds one. */
export function proxiedNode(): string | undefined {
  if (usesEnvProxy(process.versions.node)) return process.execPath
  return furtherFile(`node-${process.platform}-${process.arch}/bin/node`)
}

export function notInstalled(what: string): string {
  return `${what} is not installed; name a folder that has it with LLMPROXY_TEST_CLIENTS`
}
