/**
 * From what stands behind `-s` to a file: a path, looked for in the current folder and then in the package's, or the
 * bare name of a shipped addon.
 */
import { existsSync, readdirSync, realpathSync, statSync } from "node:fs"
import { basename, dirname, extname, relative, resolve } from "node:path"
import { didYouMean } from "../base/did-you-mean.ts"
import { UsageError } from "../base/errors.ts"

export interface SearchPlaces {
  /** Folders that a path may start from, in order: the current one, the package's. */
  readonly folders: readonly string[]
  /** Where the shipped addons are, for bare names. */
  readonly shipped: string | undefined
  /** Where they are compiled, for a program that cannot build them. Default: nowhere. */
  readonly compiled?: string | undefined
}

/** What may be an addon's entry. The shipped addons exist as .ts and, compiled, as .js: the source comes first. */
const EXTENSIONS = [".ts", ".mts", ".cts", ".js", ".mjs", ".cjs"]

/** The real path of an addon's entry. Throws a UsageError that says where it was looked for. */
export function findAddon(script: string, places: SearchPlaces): string {
  const paths = places.folders.map((folder) => resolve(folder, script))
  const bare = isBare(script)
  if (bare && places.shipped !== undefined) paths.push(...pathsIn(places.shipped, script))
  const found = paths.find(isFile)
  if (found !== undefined) return checkedEntry(found, script)
  const names = bare ? namesIn(places.shipped) : paths.flatMap((path) => filesIn(dirname(path)))
  const hint = didYouMean(basename(script), new Set(names))
  const folders = new Set(paths.map((path) => dirname(path)))
  throw new UsageError(`-s ${script}: no such addon; looked in ${[...folders].join(", ")}${hint}`)
}

/** The file of the shipped addon of that name, if there is one. */
export function findShipped(name: string, shipped: string): string | undefined {
  return isBare(name) ? pathsIn(shipped, name).find(isFile) : undefined
}

/** What a shipped addon's source was compiled to; undefined for any other file. */
export function compiledOf(file: string, { shipped, compiled }: SearchPlaces): string | undefined {
  if (shipped === undefined || compiled === undefined || !existsSync(shipped)) return undefined
  const path = relative(realpathSync(shipped), file)
  const script = resolve(compiled, path.replace(/\.([mc]?)ts$/, ".$1js"))
  return path.startsWith("..") || script === file || !isFile(script) ? undefined : script
}

function isBare(script: string): boolean {
  return /^[\w-]+$/.test(script)
}

function pathsIn(shipped: string, name: string): string[] {
  return EXTENSIONS.map((extension) => resolve(shipped, name + extension))
}

/** The real path of an addon that another one names, relative to it. */
export function findNested(path: string, parent: string): string {
  const file = resolve(dirname(parent), path)
  // Of compiled addons, what is named as .ts was compiled, too.
  const found = [file, file.replace(/\.([mc]?)ts$/, ".$1js")].find(isFile)
  if (found !== undefined) return checkedEntry(found, path)
  const hint = didYouMean(basename(path), filesIn(dirname(file)))
  throw new UsageError(`${parent}: addons: there is no ${path} beside it${hint}`)
}

function checkedEntry(file: string, asked: string): string {
  if (!EXTENSIONS.includes(extname(file)))
    throw new UsageError(`${asked}: an addon is a file that ends in ${EXTENSIONS.join(", ")}`)
  return realpathSync(file) // as the bundler and the watcher name it
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}

function namesIn(folder: string | undefined): string[] {
  return filesIn(folder).map((file) => basename(file, extname(file)))
}

function filesIn(folder: string | undefined): string[] {
  try {
    return folder === undefined ? [] : readdirSync(folder).filter((file) => EXTENSIONS.includes(extname(file)))
  } catch {
    return [] // no such folder: no suggestion
  }
}
