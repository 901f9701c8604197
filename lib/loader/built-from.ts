/**
 * What a script was built from: own files and files of packages, so that a kept one serves only while a build would take the
 * same. A package is taken to be the same while the nearest folder of its name is the same one with the same package.json: what
 * lies in it changes with its version. How an import is resolved to a file is esbuild's affair (bundle.ts).
 */
import { createHash } from "node:crypto"
import { readFileSync, statSync } from "node:fs"
import { readFile, realpath, stat } from "node:fs/promises"
import { dirname, join, sep } from "node:path"

/** A file of a package that a script imports. */
export interface PackageFile {
  /** As in node_modules, with its scope. */
  readonly name: string
  /** The folder that it was imported from. */
  readonly from: string
  /** Absolute, and no link. */
  readonly file: string
  /** SHA-256 of the package's package.json, base64. */
  readonly manifest: string
}

/** Undefined where the file is in no package that a later look would find again: a linked file, another way to resolve. */
export async function packageFile(specifier: string, from: string, file: string): Promise<PackageFile | undefined> {
  const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/")
  try {
    return { name, from, file, manifest: await manifestOf(name, from, file) }
  } catch {
    return undefined // Not kept, then: the next start builds.
  }
}

/** Throws where the import would lead elsewhere, or to another version. */
export async function checkPackageFile({ name, from, file, manifest }: PackageFile): Promise<void> {
  if ((await manifestOf(name, from, file)) !== manifest) throw new Error(`the package "${name}" has changed`)
}

export function fingerprint(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("base64")
}

/**
 * Throws where the file holds something else. At once: an addon has some 30 files of a few kB, and a start that waited for
 * each by itself would take a tenth longer. What is no plain file could keep everybody waiting, and is not opened.
 */
export function checkFile(file: string, hash: string): void {
  if (!statSync(file).isFile()) throw new Error(`${file} is no file any more`)
  if (fingerprint(readFileSync(file)) !== hash) throw new Error(`${file} has changed`)
}

async function manifestOf(name: string, from: string, file: string): Promise<string> {
  const folder = await nearest(name, from)
  if (!file.startsWith(folder + sep)) throw new Error(`"${name}" leads to ${folder}`)
  const [manifest] = await Promise.all([readFile(join(folder, "package.json")), stat(file)])
  return fingerprint(manifest)
}

/** The folder that the nearest node_modules has under the name. */
async function nearest(name: string, from: string): Promise<string> {
  for (let folder = from; ; folder = dirname(folder)) {
    try {
      return await realpath(join(folder, "node_modules", name))
    } catch {
      if (folder === dirname(folder)) throw new Error(`the package "${name}" is not installed`)
    }
  }
}
