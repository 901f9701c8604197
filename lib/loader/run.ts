/**
 * Evaluates the script that bundle.ts made. A CommonJS script runs on a Module that nobody else holds, so that it
 * is freed with the version of the addon; stacks name the lines of the source. A script with top-level await has to be
 * an ES module in a file, and Node never forgets one: it is the way round, with a warning.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { Module } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import type { Logger } from "../base/log.ts"
import { shownPath } from "../base/shown-path.ts"
import { bundle, NoBuilderError, PROVIDED_NAME, type ProvidedModules, TopLevelAwaitError } from "./bundle.ts"
import type { BundleCache } from "./cache.ts"

export interface RunRequest {
  /** Absolute path of the addon's entry. */
  readonly entry: string
  readonly modules: ProvidedModules
  /** See BundleRequest. */
  readonly files: Map<string, string>
  readonly log: Logger
  /** What was built before; undefined: each run builds. */
  readonly cache: BundleCache | undefined
  /** What is run where esbuild cannot build the entry: the same, compiled before. */
  readonly compiled?: string | undefined
}

/** Where ES modules in files find what CommonJS scripts are given by their Module. */
const HANDOVER = Symbol.for("llmproxy.provided")

export interface RanAddon {
  readonly exported: unknown
  /**
   * What Node keeps the script's source map for: once it is freed, stacks name lines of the script. To be held as long as
   * the addon may run. Undefined for an ES module, which is never freed.
   */
  readonly script: object | undefined
}

/** What the entry exports. Throws a UsageError when it cannot be built, and whatever the addon throws. */
export async function runAddon(request: RunRequest): Promise<RanAddon> {
  process.setSourceMapsEnabled(true)
  const { entry, modules, files, cache } = request
  const script = { entry, modules, files, format: "cjs", scriptPath: entry } as const
  try {
    const { code, provided } = await (cache === undefined ? bundle(script) : cache.bundle(script, bundle))
    return evaluate(code, entry, provided)
  } catch (error) {
    if (error instanceof NoBuilderError && request.compiled !== undefined) {
      request.log.warn(`${error.message}; it runs as it was compiled, and is not loaded anew when it changes`)
      return { exported: await import(pathToFileURL(request.compiled).href), script: undefined }
    }
    if (!(error instanceof TopLevelAwaitError)) throw error
    request.log.warn(`${shownPath(entry)}: top-level await is slower to load, and keeps memory at each reload`)
    return { exported: await importFromFile(request), script: undefined }
  }
}

/** Scripts so far: two versions of one file would share a source map if they had one name. */
let scripts = 0

function evaluate(code: string, entry: string, provided: ReadonlyMap<string, object>): RanAddon {
  const module = new Module(entry)
  module.filename = entry
  module.paths = nodeModulesAbove(entry) // for a require() of a computed name: esbuild resolved all others
  // ES modules are strict, and esbuild does not say so: a write to an option must throw, not vanish.
  const script = `"use strict";const ${PROVIDED_NAME} = module.${PROVIDED_NAME};${code}`
  Object.defineProperty(module, PROVIDED_NAME, { value: provided })
  scripts += 1
  compile(module, script, `${entry}?${scripts}`)
  return { exported: module.exports, script: module }
}

/** Module's own compiler, which is not in its types: the one way to a script whose stack lines are mapped. */
function compile(module: Module, script: string, file: string): void {
  if (!("_compile" in module) || typeof module._compile !== "function")
    throw new Error("this version of Node cannot load addons: Module._compile is missing")
  module._compile(script, file, "commonjs")
}

function nodeModulesAbove(file: string): string[] {
  const paths: string[] = []
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    paths.push(join(folder, "node_modules"))
    if (folder === dirname(folder)) return paths
  }
}

async function importFromFile({ entry, modules, files }: RunRequest): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-addon-"))
  const scriptPath = join(folder, "addon.mjs")
  const handovers = handoversOf(globalThis)
  try {
    const { code, provided } = await bundle({ entry, modules, files, format: "esm", scriptPath })
    handovers.set(scriptPath, provided)
    const key = JSON.stringify(scriptPath)
    const given = `const ${PROVIDED_NAME} = globalThis[Symbol.for("${HANDOVER.description}")].get(${key});`
    await writeFile(scriptPath, given + code)
    return await import(pathToFileURL(scriptPath).href)
  } finally {
    handovers.delete(scriptPath)
    await rm(folder, { recursive: true, force: true })
  }
}

function handoversOf(global: object): Map<string, ReadonlyMap<string, object>> {
  const held: unknown = Reflect.get(global, HANDOVER)
  if (held instanceof Map) return held
  const made = new Map<string, ReadonlyMap<string, object>>()
  Reflect.set(global, HANDOVER, made)
  return made
}
