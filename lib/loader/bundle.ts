/**
 * Makes one script of an addon's entry and of its own files, with esbuild. Packages stay outside and are resolved from
 * the file that imports them, so an addon's folder may have a node_modules of its own. What "llmproxy" means is given
 * by the running instance, because a second copy of the program would not know the flows of the first.
 * CommonJS, because a script can be evaluated again and again and then be forgotten, and a module cannot.
 */
import { readFile } from "node:fs/promises"
import { createRequire, isBuiltin } from "node:module"
import { basename, dirname, extname, isAbsolute, join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type {
  ImportKind,
  Message,
  Metafile,
  OnLoadResult,
  OnResolveArgs,
  OnResolveResult,
  Plugin,
  PluginBuild,
} from "esbuild"
import { didYouMean } from "../base/did-you-mean.ts"
import { messageOf, UsageError } from "../base/errors.ts"
import { shownPath } from "../base/shown-path.ts"
import { fingerprint, type PackageFile, packageFile } from "./built-from.ts"

type ScriptFormat = "cjs" | "esm"

export interface BundleRequest {
  /** Absolute. */
  readonly entry: string
  readonly format: ScriptFormat
  /** Where the script will be evaluated from: what its source map is relative to. */
  readonly scriptPath: string
  /** Modules that the running program gives, by import path. */
  readonly modules: ProvidedModules
  /** Filled with each own file and the hash of what was read of it, also when the build fails: it is what to watch. */
  readonly files: Map<string, string>
}

export type ProvidedModules = Readonly<Record<string, () => object | Promise<object>>>

export interface Bundle {
  readonly code: string
  /** What the script finds by PROVIDED_NAME: the namespaces of the modules it imports that esbuild did not put in. */
  readonly provided: ReadonlyMap<string, object>
  /**
   * What it takes from packages: the same own files and these give the same script. Undefined where something else had a
   * part in it, a path that was guessed.
   */
  readonly packages: readonly PackageFile[] | undefined
}

/** Thrown by `bundle` when the entry or its files wait at their top level: a CommonJS script cannot. */
export class TopLevelAwaitError extends UsageError {}

/** Thrown by `bundle` when esbuild itself is not there, or cannot be started. */
export class NoBuilderError extends UsageError {}

/** The variable of the script that holds `Bundle.provided`; the evaluator declares it. */
export const PROVIDED_NAME = "__llmproxy_provided"

const PROVIDED = "provided"
const ESM_PACKAGE = "esm-package"
const RESOLVED_BY_ESBUILD = { resolving: true }
const LOADERS: Readonly<Record<string, OnLoadResult["loader"]>> = {
  ".ts": "ts",
  ".mts": "ts",
  ".cts": "ts",
  ".tsx": "tsx",
  ".js": "js",
  ".mjs": "js",
  ".cjs": "js",
  ".jsx": "jsx",
  ".json": "json",
  ".txt": "text",
  ".md": "text",
}
const TYPESCRIPT = new Set([".ts", ".mts", ".cts", ".tsx"])
const META_FIELDS = ["url", "filename", "dirname"]

/** Builds the script. Throws a UsageError with file:line:column and the line, a TopLevelAwaitError, or a NoBuilderError. */
export async function bundle(request: BundleRequest): Promise<Bundle> {
  const build = await builder(request.entry)
  const provided = new Map<string, object>()
  const taken: Taken = { files: [], paths: new Set() }
  const folder = dirname(request.entry)
  try {
    const result = await build({
      entryPoints: [request.entry],
      absWorkingDir: folder,
      bundle: true,
      write: false,
      outfile: request.scriptPath,
      allowOverwrite: true, // nothing is written, but esbuild checks
      format: request.format,
      platform: "node",
      target: "node20",
      sourcemap: "inline",
      sourcesContent: false, // positions are what stacks need, and Node reads the whole map at each load
      metafile: true,
      logLevel: "silent",
      // An addon means the same wherever it lies: a tsconfig.json in a folder above would change how it is read.
      tsconfigRaw: "{}",
      define: Object.fromEntries(META_FIELDS.map((field) => [`import.meta.${field}`, metaName(field)])),
      plugins: [plugin(request, provided, taken)],
    })
    const isPlain = Object.entries(result.metafile.inputs).every(([path, { imports }]) =>
      imports.every((one) => taken.paths.has(one.path) || isPlainImport(one, folder, dirname(path))),
    )
    return { code: result.outputFiles[0]?.text ?? "", provided, packages: isPlain ? taken.files : undefined }
  } catch (error) {
    throw buildError(error, request.entry)
  }
}

async function builder(entry: string): Promise<typeof import("esbuild").build> {
  try {
    const { build } = await import("esbuild") // 20 ms, which a start without addons does not pay
    return build
  } catch (error) {
    throw noBuilder(error, entry)
  }
}

/** What was found in packages, and the paths that the imports got by it. */
interface Taken {
  readonly files: PackageFile[]
  readonly paths: Set<string>
}

type Import = Metafile["inputs"][string]["imports"][number]

/** Whether an import means the same whatever lies beside its file: a builtin, a module of ours, or a whole path. */
function isPlainImport({ path, original, external }: Import, root: string, folder: string): boolean {
  if (external === true) return isBuiltin(path)
  if (path.startsWith(`${PROVIDED}:`)) return true
  return original !== undefined && resolve(root, folder, original) === resolve(root, path)
}

function plugin(request: BundleRequest, provided: Map<string, object>, taken: Taken): Plugin {
  return {
    name: "llmproxy",
    setup(build) {
      build.onResolve({ filter: /^[^./#]/ }, (args) => resolvePackage(build, request, args, taken))
      build.onLoad({ filter: /.*/, namespace: "file" }, (args) => loadFile(args.path, request.files))
      build.onLoad({ filter: /.*/, namespace: PROVIDED }, async ({ path }) =>
        provide(path, await request.modules[path]?.(), provided),
      )
      build.onLoad({ filter: /.*/, namespace: ESM_PACKAGE }, ({ path }) => loadModule(path, provided))
    },
  }
}

async function resolvePackage(
  build: PluginBuild,
  { modules, format }: BundleRequest,
  args: OnResolveArgs,
  taken: Taken,
): Promise<OnResolveResult | undefined> {
  const { path, kind, resolveDir, importer } = args
  if (kind === "entry-point" || isAbsolute(path) || args.pluginData === RESOLVED_BY_ESBUILD) return undefined
  if (Object.hasOwn(modules, path)) return { path, namespace: PROVIDED }
  if (path.startsWith("llmproxy/"))
    return { errors: [{ text: `There is no "${path}"${didYouMean(path, Object.keys(modules))}` }] }
  if (isBuiltin(path)) return { path, external: true }
  const found = await build.resolve(path, { kind, importer, resolveDir, pluginData: RESOLVED_BY_ESBUILD })
  if (found.errors.length > 0) {
    // import("x") and require("x") fail when they run, where the addon can do without.
    if (kind === "dynamic-import" || kind === "require-call") return { path, external: true }
    return { errors: [{ text: `Package "${path}" is not installed; run npm install ${path} in ${resolveDir}` }] }
  }
  if (TYPESCRIPT.has(extname(found.path))) return found // a linked package of one's own
  const result = packageResult(found.path, kind, format)
  const file = await packageFile(path, resolveDir, found.path)
  if (file !== undefined) {
    taken.files.push(file)
    taken.paths.add(result.namespace === undefined ? result.path : `${result.namespace}:${result.path}`)
  }
  return result
}

function packageResult(file: string, kind: ImportKind, format: ScriptFormat): OnResolveResult & { path: string } {
  if (kind === "dynamic-import") return { path: pathToFileURL(file).href, external: true }
  if (isModuleFile(file)) return { path: file, namespace: ESM_PACKAGE }
  return { path: format === "cjs" ? file : pathToFileURL(file).href, external: true }
}

/** Whether Node takes a package's file for an ES module, by its extension or its package.json. */
function isModuleFile(file: string): boolean {
  if (extname(file) !== ".js") return extname(file) === ".mjs"
  const require = createRequire(file)
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const manifest: unknown = require(join(folder, "package.json"))
      return typeof manifest === "object" && manifest !== null && "type" in manifest && manifest.type === "module"
    } catch {
      // No package.json here: the next folder up decides.
    }
  }
  return false
}

async function loadFile(path: string, files: Map<string, string>): Promise<OnLoadResult> {
  const content = await readFile(path)
  files.set(path, fingerprint(content))
  const loader = LOADERS[extname(path)]
  if (loader === undefined) return { errors: [{ text: `${basename(path)}: a file of this kind cannot be imported` }] }
  const text = content.toString("utf8")
  return { contents: text.includes("import.meta.") ? metaLine(path) + text : text, loader }
}

/**
 * A CommonJS script has no import.meta. Each file that uses it gets variables of its own instead, in front of its first
 * line so that lines keep their numbers; esbuild renames them where two files meet.
 */
function metaLine(path: string): string {
  const values: Record<string, string> = { url: pathToFileURL(path).href, filename: path, dirname: dirname(path) }
  return META_FIELDS.map((field) => `var ${metaName(field)}=${JSON.stringify(values[field])};`).join("")
}

function metaName(field: string): string {
  return `__import_meta_${field}`
}

/**
 * A package that is an ES module is imported now and given to the script: require() of one fails where it waits at its
 * top level, and warns in some versions of Node.
 */
async function loadModule(path: string, provided: Map<string, object>): Promise<OnLoadResult> {
  try {
    const namespace: object = await import(pathToFileURL(path).href)
    return provide(path, namespace, provided)
  } catch (error) {
    return { errors: [{ text: `Importing ${path} failed: ${messageOf(error)}` }] }
  }
}

/** A module that hands on a namespace under its names, so that esbuild reports an import of a name that it lacks. */
function provide(key: string, namespace: object | undefined, provided: Map<string, object>): OnLoadResult {
  if (namespace === undefined) return { errors: [{ text: `"${key}" is not there` }] }
  provided.set(key, namespace)
  const names = Object.keys(namespace)
  const lines = names.map(
    (name, i) => `const _${i} = ns[${JSON.stringify(name)}]; export { _${i} as ${JSON.stringify(name)} }`,
  )
  return { contents: [`const ns = ${PROVIDED_NAME}.get(${JSON.stringify(key)})`, ...lines].join("\n"), loader: "js" }
}

function buildError(thrown: unknown, entry: string): Error {
  const messages = thrown instanceof Error && "errors" in thrown && Array.isArray(thrown.errors) ? thrown.errors : []
  const errors: Message[] = messages
  const [first] = errors
  if (first === undefined) return noBuilder(thrown, entry)
  // A mistake in the code is told before the lack of a feature of CommonJS, which has a way round.
  const other = errors.find((error) => !error.text.startsWith("Top-level await"))
  return other === undefined ? new TopLevelAwaitError(first.text) : new UsageError(described(other, dirname(entry)))
}

/** Of what went wrong the first line: esbuild goes on with advice for other cases. */
function noBuilder(thrown: unknown, entry: string): NoBuilderError {
  const [why = ""] = messageOf(thrown).split("\n")
  return new NoBuilderError(
    `${shownPath(entry)}: cannot be built: esbuild cannot be started (${why}); it is installed with llmproxy, unless ` +
      "npm was told --omit=optional: install llmproxy again without that",
  )
}

/** `file:line:column: what` and the line itself. */
function described({ text, location }: Message, folder: string): string {
  if (location === null) return text
  const { file, line, lineText } = location
  const added =
    line === 1 && lineText.startsWith(`var ${metaName("url")}`)
      ? lineText.indexOf(";", lineText.indexOf(metaName("dirname"))) + 1
      : 0
  const place = `${shownPath(resolve(folder, file))}:${line}:${location.column - added + 1}`
  return `${place}: ${text.replace(`"${PROVIDED}:`, '"')}\n  ${lineText.slice(added).trim()}`
}
