/**
 * The models that there are, by name: the files that end in .gguf directly in one folder, and one more that an option names.
 * What a client sends is compared with what was found, and never becomes a path. A link counts if what it leads to lies in the folder.
 */
import { readdirSync, realpathSync, statSync } from "node:fs"
import { basename, join, relative, resolve, sep } from "node:path"

const ENDING = /\.gguf$/i
/** What the file of the option answers to, beside its own name. */
const ALIAS = "llama"
/** Models that are listed; more in a folder are not seen. */
const MODELS_MAX = 100

export interface Model {
  /** The file's name. */
  readonly name: string
  /** What it answers to, its name first. */
  readonly names: readonly string[]
  /** Absolute, links followed. */
  readonly file: string
  /** It is the option's. */
  readonly isNamed: boolean
}

export interface ModelPlaces {
  readonly folder: string
  /** One more file, wherever it is. */
  readonly file: string | undefined
}

/** All that are there now, the option's first. Never throws: a folder that is not there has none. */
export function findModels({ folder, file }: ModelPlaces): Model[] {
  const named = file === undefined ? [] : [namedModel(file)].filter((one) => one !== undefined)
  const taken = new Set(named.flatMap(({ names }) => names))
  const listed = modelsIn(resolve(folder)).filter(({ name }) => !taken.has(name))
  return [...named, ...listed].slice(0, MODELS_MAX)
}

/** The one that a client means. */
export function modelNamed(models: readonly Model[], name: string): Model | undefined {
  return models.find(({ names }) => names.includes(name))
}

function namedModel(file: string): Model | undefined {
  const path = realFile(resolve(file))
  const name = basename(file)
  if (path === undefined) return undefined
  return { name, names: [...new Set([name, ALIAS, name.replace(ENDING, "")])], file: path, isNamed: true }
}

function modelsIn(folder: string): Model[] {
  let names: string[]
  let root: string
  try {
    root = realpathSync(folder)
    names = readdirSync(root).sort()
  } catch {
    return []
  }
  return names.flatMap((name) => {
    const file = ENDING.test(name) ? realFile(join(root, name)) : undefined
    if (file === undefined || !isInside(root, file)) return []
    return [{ name, names: [name, name.replace(ENDING, "")], file, isNamed: false }]
  })
}

function realFile(path: string): string | undefined {
  try {
    const file = realpathSync(path)
    return statSync(file).isFile() ? file : undefined
  } catch {
    return undefined
  }
}

function isInside(root: string, file: string): boolean {
  const way = relative(root, file)
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && resolve(root, way) === file
}
