/**
 * Keeps what bundle.ts has built, in the confdir, because starting esbuild costs a start as much as Node itself.
 * An entry is used only while a build would give the same: each own file still has its hash, the modules that the
 * program gives have the same names, packages are found where they were and with the same versions (built-from.ts), and the
 * versions that are in the entry's name are the running ones. Anything else, and whatever goes wrong here, means a build;
 * nobody is told above debug level. Which builds may be kept is for bundle.ts to say.
 */

import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { readdir, readFile, rm, stat } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { makePrivateDirectory, writeWhole } from "../../certs/files.ts"
import { messageOf } from "../base/errors.ts"
import { isObject } from "../base/json.ts"
import type { Logger } from "../base/log.ts"
import { checkFile, checkPackageFile, fingerprint, type PackageFile } from "./built-from.ts"
import type { Bundle, BundleRequest, ProvidedModules } from "./bundle.ts"

// To be raised when bundle.ts makes another script of the same files.
const SCRIPT_VERSION = 2
const ENTRIES_MAX = 100
const ENTRY_CHARS_MAX = 8_388_608
const PRIVATE_FILE = 0o600
const OTHERS_WRITE_BITS = 0o022

/** The content of an entry's file, as JSON. */
interface Entry {
  /** Each own file with the hash of what was built. */
  readonly files: readonly (readonly [file: string, hash: string])[]
  /** Each module that the program gives to the script, with the names that it had. */
  readonly provided: readonly (readonly [key: string, names: readonly string[]])[]
  readonly packages: readonly PackageFile[]
  readonly codeHash: string
  readonly code: string
}

export class BundleCache {
  readonly #folder: string
  readonly #log: Logger
  /** What is being written, one at a time. */
  #writing: Promise<void> = Promise.resolve()

  constructor(folder: string, log: Logger) {
    this.#folder = folder
    this.#log = log
  }

  /** What `build` makes of the request, or made of it before. Rejects as `build` does; fills `request.files` like it. */
  async bundle(request: BundleRequest, build: (request: BundleRequest) => Promise<Bundle>): Promise<Bundle> {
    const path = join(this.#folder, entryName(request.entry))
    const kept = await this.#find(path, request)
    if (kept !== undefined) return kept
    const built = await build(request)
    // Not waited for: the addon runs meanwhile. The files are those of now, because a reload begins a new map.
    const files = [...request.files]
    const { packages } = built
    if (packages !== undefined)
      this.#writing = this.#writing.then(() => this.#keep(path, files, { ...built, packages }))
    return built
  }

  /** Resolves when what was built has been written. */
  written(): Promise<void> {
    return this.#writing
  }

  async #find(path: string, request: BundleRequest): Promise<Bundle | undefined> {
    try {
      const [text] = await Promise.all([readFile(path, "utf8"), this.#checkFolder()])
      const entry = entryOf(JSON.parse(text))
      if (entry === undefined) throw new Error("it is damaged")
      for (const [file, hash] of entry.files) checkFile(file, hash)
      await Promise.all(entry.packages.map(checkPackageFile))
      // Not before: what is imported stays loaded, whether it serves or not.
      const provided = await providedAsBefore(entry, request.modules)
      for (const [file, hash] of entry.files) request.files.set(file, hash)
      return { code: entry.code, provided, packages: entry.packages }
    } catch (error) {
      this.#log.debug(`addon cache: ${path} is not used: ${messageOf(error)}`)
      return undefined
    }
  }

  /** What lies in a folder that others may write in could be theirs, and it would run. */
  async #checkFolder(): Promise<void> {
    if (process.getuid === undefined) return // Windows, where the profile's folders are the user's alone
    const { mode, uid } = await stat(this.#folder)
    if ((mode & OTHERS_WRITE_BITS) !== 0 || uid !== process.getuid())
      throw new Error(`other users may write in ${this.#folder}`)
  }

  async #keep(
    path: string,
    files: Entry["files"],
    { code, provided, packages }: Bundle & Pick<Entry, "packages">,
  ): Promise<void> {
    try {
      const names = [...provided].map(([key, namespace]) => [key, Object.keys(namespace)] as const)
      const entry: Entry = { files, provided: names, packages, codeHash: fingerprint(Buffer.from(code)), code }
      const text = JSON.stringify(entry)
      if (text.length > ENTRY_CHARS_MAX) throw new Error(`the script exceeds ${ENTRY_CHARS_MAX} characters`)
      await makePrivateDirectory(this.#folder)
      await writeWhole(path, text, PRIVATE_FILE)
      await this.#removeOldest()
    } catch (error) {
      this.#log.debug(`addon cache: ${path} is not written: ${messageOf(error)}`)
    }
  }

  /** Files that a killed process left half written count too, and so go in their turn. */
  async #removeOldest(): Promise<void> {
    const names = await readdir(this.#folder)
    if (names.length <= ENTRIES_MAX) return
    const paths = names.map((name) => join(this.#folder, name))
    const aged = await Promise.all(paths.map(async (path) => ({ path, at: (await stat(path)).mtimeMs })))
    aged.sort((one, other) => one.at - other.at)
    for (const { path } of aged.slice(0, aged.length - ENTRIES_MAX)) await rm(path, { force: true })
  }
}

/** A name that no path and nothing of a client's is part of. */
function entryName(entry: string): string {
  const [node] = process.versions.node.split(".")
  const parts = [entry, SCRIPT_VERSION, versionOf("llmproxy"), versionOf("esbuild"), node, manifestAbove(entry)]
  return `${createHash("sha256").update(JSON.stringify(parts)).digest("hex")}.json`
}

/** A package's version, without loading the package; of one that is not there, none: whoever builds tells of it. */
function versionOf(name: string): string {
  try {
    const manifest: unknown = createRequire(import.meta.url)(`${name}/package.json`)
    return isObject(manifest) ? String(manifest.version) : ""
  } catch {
    return ""
  }
}

/** The package.json that the entry is under: esbuild reads from it whether a .js file is a module, and what may be left out. */
function manifestAbove(entry: string): string {
  for (let folder = dirname(entry); ; folder = dirname(folder)) {
    try {
      return readFileSync(join(folder, "package.json"), "utf8")
    } catch {
      if (folder === dirname(folder)) return ""
    }
  }
}

/** The namespaces that the script was built with. Throws where one has other names now: an import may lack its own. */
async function providedAsBefore({ provided, packages }: Entry, modules: ProvidedModules): Promise<Map<string, object>> {
  const namespaces = new Map<string, object>()
  for (const [key, names] of provided) {
    const isPackage = packages.some(({ file }) => file === key)
    const own = Object.hasOwn(modules, key) ? modules[key] : undefined
    const namespace: object | undefined = isPackage ? await import(pathToFileURL(key).href) : await own?.()
    if (namespace === undefined || Object.keys(namespace).join() !== names.join())
      throw new Error(`"${key}" has other exports`)
    namespaces.set(key, namespace)
  }
  return namespaces
}

/** The entry in a file's value; undefined where it is none, or its code is not what was written. */
function entryOf(value: unknown): Entry | undefined {
  if (!isObject(value)) return undefined
  const { files, provided, packages, codeHash, code } = value
  if (!isPairs(files, isText) || !isPairs(provided, isTexts) || !isPackageFiles(packages)) return undefined
  if (typeof code !== "string" || typeof codeHash !== "string") return undefined
  return fingerprint(Buffer.from(code)) === codeHash ? { files, provided, packages, codeHash, code } : undefined
}

function isPairs<T>(value: unknown, isSecond: (value: unknown) => value is T): value is [string, T][] {
  return (
    Array.isArray(value) &&
    value.every((pair) => Array.isArray(pair) && pair.length === 2 && isText(pair[0]) && isSecond(pair[1]))
  )
}

function isPackageFiles(value: unknown): value is PackageFile[] {
  const isOne = (one: unknown) => isObject(one) && [one.name, one.from, one.file, one.manifest].every(isText)
  return Array.isArray(value) && value.every(isOne)
}

function isText(value: unknown): value is string {
  return typeof value === "string"
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isText)
}
