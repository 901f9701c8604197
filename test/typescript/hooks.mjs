/**
 * Loads TypeScript for the tests: esbuild takes the types off a file once, and what it made is kept under the file's hash.
 * Compiling each file in each test's process took longer than the tests. Plain JavaScript, as nothing is compiled yet.
 */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** Where what was made is kept. */
export const CACHE = fileURLToPath(new URL("../../.tap/typescript/", import.meta.url))
/** Part of every hash: another form of what is kept. */
const FORM = "1"

let esbuild

/** Node's load hook. */
export async function load(url, context, next) {
  const [plain] = url.split("?", 1)
  if (!plain.startsWith("file:") || !plain.endsWith(".ts")) return next(url, context)
  return { format: "module", source: (await compiled(fileURLToPath(plain))).code, shortCircuit: true }
}

/** The file's JavaScript, with its source map, so that positions and coverage are those of the file, and its name in CACHE. */
export async function compiled(file) {
  const source = readFileSync(file, "utf8")
  const name = `${createHash("sha256").update(`${FORM}\n${file}\n${source}`).digest("hex")}.mjs`
  const kept = join(CACHE, name)
  try {
    return { name, code: readFileSync(kept, "utf8") }
  } catch (error) {
    if (error.code !== "ENOENT") throw error
  }
  esbuild ??= await import("esbuild")
  const { code } = await esbuild.transform(source, {
    loader: "ts",
    format: "esm",
    target: "node20",
    sourcefile: file,
    sourcemap: "inline",
    sourcesContent: false,
  })
  mkdirSync(CACHE, { recursive: true })
  // Another process may read it meanwhile: it is there whole or not at all.
  writeFileSync(`${kept}.${process.pid}`, code)
  renameSync(`${kept}.${process.pid}`, kept)
  return { name, code }
}
